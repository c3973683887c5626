"""The page with rates of the last hour, and what each model does now."""

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output

from console.desk import Desk
from console.elements import note, table, tick, tile
from console.history import Moment

TITLE = "Overview"
_CHARTS = (
    ("Requests per second", "requests", "blue.6"),
    ("Tokens of answers per second", "output", "teal.6"),
    ("Refusals per second", "refused", "red.6"),
    ("Waiting in the gateway", "waiting", "orange.6"),
)


def layout(_desk: Desk, _query: dict[str, str]) -> list[Any]:
    """Return the page."""
    return [tick("overview-tick"), dmc.Stack(id="overview")]


def register(app: Dash, desk: Desk) -> None:
    """Add what fills the page."""

    @app.callback(Output("overview", "children"), Input("overview-tick", "n_intervals"))
    def refresh(_tick: int | None) -> list[Any]:
        shown = desk.history.now()
        if shown is None:
            return [
                note(
                    desk.history.trouble or "The first two readings are being taken.", is_bad=bool(desk.history.trouble)
                )
            ]
        refused = sum(shown.refusals_per_s.values())
        tiles = dmc.SimpleGrid(
            [
                tile("Requests per second", f"{sum(row.requests_per_s for row in shown.models):.1f}"),
                tile("In flight", str(sum(pod.in_flight for pod in shown.pods))),
                tile("Waiting", str(sum(row.waiting for row in shown.models))),
                tile("Refused per second", f"{refused:.1f}"),
            ],
            cols={"base": 2, "sm": 4},
        )
        moments = desk.history.moments()
        charts = dmc.SimpleGrid(
            [_chart(title, name, color, moments) for title, name, color in _CHARTS], cols={"base": 1, "md": 2}
        )
        rows = [
            [
                row.model,
                f"{row.requests_per_s:.1f}",
                f"{row.input_tokens_per_s:.0f}",
                f"{row.output_tokens_per_s:.0f}",
                row.waiting,
            ]
            for row in shown.models
        ]
        head = ("Model", "Requests/s", "Input tokens/s", "Output tokens/s", "Waiting")
        kinds = [[kind, f"{rate:.2f}"] for kind, rate in shown.refusals_per_s.items()]
        trouble = [note(desk.history.trouble, is_bad=True)] if desk.history.trouble else []
        return [
            *trouble,
            tiles,
            charts,
            table("Models now", head, rows),
            table("Refusals now", ("Why", "Per second"), kinds),
        ]


def _chart(title: str, name: str, color: str, moments: Sequence[Moment]) -> Any:
    points = [{"at": moment.at, name: getattr(moment, name)} for moment in moments]
    chart = dmc.LineChart(
        h=160, data=points, dataKey="at", series=[{"name": name, "color": color}], withDots=False, curveType="linear",
        **{"aria-label": f"{title} in the last hour"},
    )  # fmt: skip
    return dmc.Paper([dmc.Text(title, size="sm", c="dimmed"), chart], withBorder=True, p="md")
