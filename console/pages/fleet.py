"""The page with every pod: its load, its cache, its speed, and whether it is set aside and why."""

from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output

from console.desk import Desk
from console.elements import bar, link, note, table, tick
from console.looking.screen import PodRow

TITLE = "Fleet"
MOST_SHOWN = 100
"""Pods that are shown at most; the search finds the others (chosen: a screen of a thousand is no overview)."""
_COLORS = {"ready": "green", "draining": "yellow"}


def layout(_desk: Desk, _query: dict[str, str]) -> list[Any]:
    """Return the page."""
    search = dmc.TextInput(id="fleet-search", label="Search", placeholder="part of a pod's name", debounce=300)
    return [search, tick("fleet-tick"), dmc.Stack(id="fleet")]


def register(app: Dash, desk: Desk) -> None:
    """Add what fills the page."""

    @app.callback(Output("fleet", "children"), Input("fleet-tick", "n_intervals"), Input("fleet-search", "value"))
    def refresh(_tick: int | None, part: str | None) -> list[Any]:
        shown = desk.history.now()
        if shown is None or desk.history.trouble:
            return [
                note(
                    desk.history.trouble or "The first two readings are being taken.", is_bad=bool(desk.history.trouble)
                )
            ]
        found = [pod for pod in shown.pods if (part or "") in pod.pod]
        busiest = max((pod.in_flight for pod in found), default=0) or 1
        head = ("Pod", "State", "In flight", "Others", "Engine waits", "KV cache", "Prefill left", "Per token")
        rows = [_row(pod, busiest) for pod in found[:MOST_SHOWN]]
        of = f"{len(rows)} of {len(found)} pods, the busiest first; a pod's name leads to its last decisions"
        return [table(of, head, rows)]


def _row(pod: PodRow, busiest: int) -> list[Any]:
    return [
        link(pod.pod, "decisions", pod=pod.pod),
        dmc.Badge(pod.state, color=_COLORS.get(pod.state, "red"), variant="light"),
        bar(pod.in_flight / busiest, str(pod.in_flight)),
        f"{pod.others:.0f}",
        "-" if pod.engine_waits is None else f"{pod.engine_waits:.0f}",
        "-" if pod.kv_usage is None else bar(pod.kv_usage, f"{pod.kv_usage:.0%}"),
        f"{pod.prefill_s:.2f} s",
        "-" if pod.output_ms is None else f"{pod.output_ms:.1f} ms",
    ]
