"""The page with the latest decisions: why a request went where it went, and where another strategy would send it now.

Lives here: choosing a decision and its picture.  Not here: the scores (routing), replaying (gateway.fleet.replay).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, ctx, dcc, no_update

from console.desk import Desk
from console.elements import note, table, tick
from console.looking.client import CallError
from gateway.fleet.replay import IncompleteRecordError, replay
from routing.table import STRATEGIES

TITLE = "Decisions"
MOST_SHOWN = 50
MOST_BARS = 12
"""Candidates with bars (chosen: the best of many; the table below has all)."""
_COLORS = ("blue.6", "teal.6", "orange.6", "grape.6", "red.6", "lime.6")
_NOT_PARTS = ("pod", "score", "held")


def layout(_desk: Desk, query: dict[str, str]) -> list[Any]:
    """Return the page; `pod` in the query shows that pod's decisions alone."""
    return [
        dcc.Store(id="decisions-pod", data=query.get("pod", "")),
        dcc.Store(id="decisions-read"),
        dcc.Store(id="decision"),
        dmc.Group([
            dmc.Switch(id="decisions-live", label="Follow the latest", checked=True),
            dmc.Select(id="decision-strategy", label="Ask another strategy", data=sorted(STRATEGIES), searchable=True),
        ]),
        tick("decisions-tick"),
        dmc.Stack(id="decision-why"),
        dmc.Stack(id="decisions"),
    ]  # fmt: skip


def register(app: Dash, desk: Desk) -> None:
    """Add what fills the page."""

    @app.callback(
        Output("decisions", "children"), Output("decisions-read", "data"),
        Input("decisions-tick", "n_intervals"), State("decisions-pod", "data"), State("decisions-live", "checked"),
        State("decisions-read", "data"),
    )  # fmt: skip
    def refresh(_tick: int | None, pod: str, is_live: bool, read: list[Any] | None) -> tuple[Any, Any]:
        if not is_live and read is not None:
            return no_update, no_update
        try:
            entries = desk.http.get("debug", "decisions")
        except CallError as error:
            return note(str(error), is_bad=True), no_update
        found = [entry for entry in entries if pod in ("", entry["chosen"])][:MOST_SHOWN]
        return _listed(found, pod) if found else note("No request was sent yet. Try it: send one."), found

    @app.callback(
        Output("decision", "data"), Output("decisions-live", "checked"),
        Input({"type": "why", "place": ALL}, "n_clicks"), State("decisions-read", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def choose(clicks: list[int | None], read: list[Any]) -> tuple[Any, Any]:
        """Hold a decision that is asked about, while others are made."""
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update, no_update
        return read[ctx.triggered_id["place"]], False

    @app.callback(
        Output("decision-why", "children"), Input("decision", "data"), Input("decision-strategy", "value")
    )  # fmt: skip
    def explain(entry: Any, strategy: str | None) -> list[Any]:
        if not entry:
            return []
        found = [dmc.Title(f"{entry['chosen']}: {entry['reason']}", order=3)]
        found += _scores(entry["candidates"], entry["strategy"])
        return found + (_replayed(desk, entry, strategy) if strategy else [])


def _listed(entries: Sequence[Mapping[str, Any]], pod: str) -> Any:
    """Return decisions in a table, each with a button that explains it."""
    rows = [
        [
            dmc.Button("Why?", id={"type": "why", "place": place}, size="compact-xs", variant="default"),
            _ago(entries[0]["at_s"], entry), entry["request"]["model"], entry["request"]["prompt_tokens"],
            entry["strategy"], entry["chosen"], entry["reason"],
        ]
        for place, entry in enumerate(entries)
    ]  # fmt: skip
    head = ("", "Before the latest", "Model", "Prompt tokens", "Strategy", "Pod", "Reason")
    return table(f"The latest decisions{f' for {pod}' if pod else ''} of one worker", head, rows)


def _ago(newest_s: float, entry: Mapping[str, Any]) -> str:
    return f"{newest_s - entry['at_s']:.1f} s"


def _scores(rows: Sequence[Mapping[str, Any]], strategy: str) -> list[Any]:
    """Return the parts of each candidate's score as bars, and all of it as a table."""
    if not rows:
        return [note(f"{strategy} does not compare candidates by a score.")]
    parts = [name for name in rows[0] if name not in _NOT_PARTS] or ["score"]
    series = [{"name": name, "color": _COLORS[place % len(_COLORS)]} for place, name in enumerate(parts)]
    data = [{"pod": row["pod"], **{part: row[part] for part in parts}} for row in rows[:MOST_BARS]]
    chart = dmc.BarChart(
        h=40 * len(data) + 60, data=data, dataKey="pod", type="stacked", orientation="vertical", series=series,
        withLegend=True, **{"aria-label": f"Scores of {strategy}, the lowest wins"},
    )  # fmt: skip
    cells = [[f"{row[name]:.4g}" if isinstance(row[name], float) else row[name] for name in rows[0]] for row in rows]
    return [chart, table(f"{strategy}: the lowest score wins", list(rows[0]), cells)]


def _replayed(desk: Desk, entry: Mapping[str, Any], strategy: str) -> list[Any]:
    """Return what another strategy would choose for the same request on the pods as they are now."""
    try:
        rng = random.Random(0)  # noqa: S311 - breaks ties
        decision, rows = replay(entry, desk.http.get("debug", "fleet"), strategy, rng)
    except (CallError, IncompleteRecordError) as error:
        return [note(str(error), is_bad=True)]
    same = "the same pod" if decision.pod.id == entry["chosen"] else f"{decision.pod.id} instead of {entry['chosen']}"
    title = dmc.Title(f"{strategy} would choose {same} now", order=3)
    return [title, dmc.Text(f"{decision.reason}, with the load that the pods have now"), *_scores(rows, strategy)]
