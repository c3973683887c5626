"""The page with users: their limits, what they have used, whether a request would be admitted, their keys.

Lives here: forms and tables.  Not here: the rules for names and limits, which the admin REST checks.
"""

from collections.abc import Callable
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, dcc, no_update

from console.desk import Desk
from console.elements import fields, link, note, table, tick
from console.looking.client import CallError

TITLE = "Users and keys"
PAGE = 50
"""Users of a page (chosen: a screen)."""
_LIMITS = (("rpm", "Requests per minute"), ("tpm", "Tokens per minute"), ("concurrency", "Requests at once"))


def layout(desk: Desk, query: dict[str, str]) -> list[Any]:
    """Return the page; `user` in the query is the one to begin with."""
    name = query.get("user", "")
    stored = _stored(desk, name)
    numbers = [
        dmc.NumberInput(id=f"user-{limit}", label=label, min=0, allowDecimal=False, value=stored.get(limit))
        for limit, label in _LIMITS
    ]
    return [
        dcc.Store(id="users-after", data=""),
        tick("users-tick"),
        dmc.Stack(id="users-list"),
        dmc.Group([dmc.Button("First", id="users-first", variant="default"), dmc.Button("Next", id="users-next")]),
        dmc.Title("One user", order=3),
        dmc.TextInput(id="user-name", label="Name", debounce=300, value=name),
        dmc.SimpleGrid(numbers, cols={"base": 1, "sm": 3}),
        dmc.Text("An empty limit is unlimited; 0 allows nothing.", size="sm", c="dimmed"),
        dmc.Group([
            dmc.Button("Create", id="user-create"),
            dmc.Button("Change limits", id="user-update"),
            dmc.Button("Delete", id="user-delete", color="red"),
            dmc.Button("Make a key", id="key-create", variant="default"),
        ]),
        dmc.Stack(id="user-done"),
        dmc.NumberInput(
            id="check-tokens", label="Would a request of so many tokens be admitted now?", min=0, value=500
        ),
        dmc.Stack(id="user-now"),
        dmc.Group([
            dmc.TextInput(id="key-id", label="Key to revoke, by its id"),
            dmc.Button("Revoke", id="key-revoke", color="red"),
        ], align="end"),
    ]  # fmt: skip


def register(app: Dash, desk: Desk) -> None:
    """Add what fills the page."""

    @app.callback(
        Output("users-list", "children"), Output("users-after", "data"),
        Input("users-tick", "n_intervals"), Input("users-first", "n_clicks"), Input("users-next", "n_clicks"),
        State("users-after", "data"),
    )  # fmt: skip
    def refresh(_tick: Any, _first: Any, _next: Any, after: str) -> tuple[Any, Any]:
        try:
            return _listed(desk, "" if ctx.triggered_id == "users-first" else after, ctx.triggered_id == "users-next")
        except CallError as error:
            return note(str(error), is_bad=True), no_update

    @app.callback(
        *(Output(f"user-{limit}", "value") for limit, _ in _LIMITS), Input("user-name", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def fill(name: str | None) -> list[Any]:
        """Show the limits of a user who is named: a change writes all of them.  Those of a new one are as typed."""
        stored = _stored(desk, name or "")
        return [stored.get(limit) if stored else no_update for limit, _ in _LIMITS]

    @app.callback(
        Output("user-done", "children"),
        Input("user-create", "n_clicks"), Input("user-update", "n_clicks"), Input("user-delete", "n_clicks"),
        Input("key-create", "n_clicks"), Input("key-revoke", "n_clicks"),
        State("user-name", "value"), State("key-id", "value"), *(State(f"user-{name}", "value") for name, _ in _LIMITS),
        prevent_initial_call=True,
    )  # fmt: skip
    def change(*given: Any) -> Any:
        clicks, (name, key_id, *limits) = given[:5], given[5:]
        if not any(clicks):
            return no_update
        record = {"name": name or "", **dict(zip([field for field, _ in _LIMITS], map(_number, limits), strict=True))}
        try:
            answer = _changed(desk, str(ctx.triggered_id), record, key_id or "")
        except CallError as error:
            return note(str(error), is_bad=True)
        if secret := answer.get("secret"):
            return [note(f"{answer['message']}. It is shown only now:"), dmc.Code(secret, id="key-secret")]
        return note(answer["message"])

    @app.callback(
        Output("user-now", "children"),
        Input("users-tick", "n_intervals"), State("user-name", "value"), State("check-tokens", "value"),
    )  # fmt: skip
    def use(_tick: Any, name: str | None, tokens: Any) -> list[Any]:
        try:
            return _used(desk, name, _number(tokens) or 0) if name else []
        except CallError as error:
            return [note(str(error))]


def _listed(desk: Desk, after: str, is_next: bool) -> tuple[Any, str]:
    """Return the users after a name, or the page after those (`is_next`), and the name that it begins after."""
    page = desk.admin.get("users", limit=PAGE, after=after)
    if is_next and page.get("next"):
        after = page["next"]
        page = desk.admin.get("users", limit=PAGE, after=after)
    rows = [
        [link(user["name"], "users", user=user["name"]), *(_limit(user.get(name)) for name, _ in _LIMITS)]
        for user in page["users"]
    ]
    return table("Users and their limits", ("Name", *(label for _, label in _LIMITS)), rows), after


def _changed(desk: Desk, button: str, record: dict[str, Any], key_id: str) -> Any:
    """Do what a button says and return the answer.  Raises CallError."""
    name = record["name"]
    calls: dict[str, Callable[[], Any]] = {
        "user-create": lambda: desk.admin.post("CreateUser", body=record),
        "user-update": lambda: desk.admin.post("UpdateUser", body=_kept(desk, record)),
        "user-delete": lambda: desk.admin.post("DeleteUser", body={"name": name}),
        "key-create": lambda: desk.admin.post("CreateKey", body={"user": name}),
        "key-revoke": lambda: desk.admin.post("RevokeKey", body={"user": name, "id": key_id}),
    }
    return calls[button]()


def _used(desk: Desk, name: str, tokens: int) -> list[Any]:
    """Return whether a request would be admitted, what is used, and the user's keys.  Raises CallError."""
    usage = desk.admin.get("users", name, "usage")
    verdict = desk.admin.post("users", name, "check", body={"tokens": tokens})
    keys = desk.admin.get("users", name, "keys")["keys"]
    rows = [[key["id"], key["name"], key["last4"]] for key in keys]
    return [
        note(_told(verdict), is_bad=not verdict["admitted"]),
        fields(usage),
        table(f"Keys of {name}", ("Id", "Label", "Ends with"), rows),
    ]


def _stored(desk: Desk, name: str) -> dict[str, Any]:
    """Return a user's record; empty where there is none."""
    try:
        record: dict[str, Any] = desk.admin.post("ReadUser", body={"name": name})["user"] if name else {}
    except CallError:
        return {}
    return record


def _kept(desk: Desk, record: dict[str, Any]) -> dict[str, Any]:
    """Return the stored record with these limits, so that what the form does not show stays."""
    stored = desk.admin.post("ReadUser", body={"name": record["name"]})["user"]
    return {**stored, **record}


def _number(value: Any) -> int | None:
    return None if value in ("", None) else int(value)


def _limit(value: int | None) -> str:
    return "unlimited" if value is None else f"{value:,}"


def _told(verdict: dict[str, Any]) -> str:
    if verdict["admitted"]:
        return "It would be admitted now."
    wait_s = verdict["retry_after_s"]
    when = "never" if wait_s is None else f"in {wait_s:.0f} s"
    return f"It would be refused by {verdict['kind']} = {verdict['limit']}, and admitted {when}."
