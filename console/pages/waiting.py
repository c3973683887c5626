"""The page with the requests that wait in the gateway: whose, how much work, and who is next."""

from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output

from console.desk import Desk
from console.elements import note, table, tick
from console.looking.client import CallError

TITLE = "Waiting"


def layout(_desk: Desk, _query: dict[str, str]) -> list[Any]:
    """Return the page."""
    return [tick("waiting-tick"), dmc.Stack(id="waiting")]


def register(app: Dash, desk: Desk) -> None:
    """Add what fills the page."""

    @app.callback(Output("waiting", "children"), Input("waiting-tick", "n_intervals"))
    def refresh(_tick: int | None) -> list[Any]:
        try:
            queues = desk.http.get("debug", "waiting")
        except CallError as error:
            return [note(str(error), is_bad=True)]
        busy = {model: queue for model, queue in queues.items() if queue["waiting"]}
        if not busy:
            return [note("No request waits: every pod keeps its promise, or none is made.")]
        return [_queue(model, queue) for model, queue in busy.items()]


def _queue(model: str, queue: dict[str, Any]) -> Any:
    """Users with the least served go first; those without a promise wait for all others."""
    rows = [
        [user or "nobody", what["waiting"], f"{what['counter']:,.0f}", promise]
        for order, promise in (("users", "kept"), ("best_effort", "none"))
        for user, what in sorted(queue[order].items(), key=lambda item: item[1]["counter"])
    ]
    caption = f"{model}: {queue['waiting']} requests wait, whose turn is next first"
    return table(caption, ("User", "Waiting", "Served tokens", "Promise"), rows)
