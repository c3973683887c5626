"""The console as an ASGI application: its pages, its frame, its headers.

Lives here: the one table of pages, and what surrounds them.  Not here: who may look (guard), the pages (pages).
"""

from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.desk import Desk
from console.elements import BASE, note
from console.guard import guarded
from console.pages import decisions, fleet, overview, try_it, users, waiting

PAGES: dict[str, ModuleType] = {
    "": overview, "fleet": fleet, "decisions": decisions, "users": users, "waiting": waiting, "try": try_it,
}  # fmt: skip
"""Each page by its path under BASE, in the order of the navigation."""

MOST_AT_ONCE = 32
"""Callbacks that run at the same time: each waits for a gateway, and one of `Try it` for minutes (chosen)."""


def console_app(desk: Desk, token: str) -> ASGIApp:
    """Return the console.  With a `token` it must be given to log in; without one only this machine may look."""
    server: Any = FastAPI(openapi_url=None)  # Dash's annotation knows of Flask alone
    app = Dash(
        "console", server=server, requests_pathname_prefix=BASE, routes_pathname_prefix=BASE, title="Forebay",
        update_title="", websocket_callbacks=True, websocket_max_workers=MOST_AT_ONCE,
        suppress_callback_exceptions=True, add_log_handler=False,
    )  # fmt: skip
    app.layout = _frame()
    for page in PAGES.values():
        page.register(app, desk)

    @app.callback(Output("page", "children"), Input("place", "pathname"), Input("place", "search"))
    def show(path: str, search: str) -> list[Any]:
        page = PAGES.get((path or BASE).removeprefix(BASE).strip("/"))
        if page is None:
            return [note("There is no such page.", is_bad=True)]
        return [
            dmc.Title(page.TITLE, order=2),
            dmc.Stack(page.layout(desk, dict(parse_qsl((search or "").lstrip("?"))))),
        ]

    return _with_headers(guarded(server, token=token), " ".join(app.csp_hashes()))


def _frame() -> Any:
    """Return what all pages have: the navigation, and the place of the page."""
    links = [dmc.Anchor(page.TITLE, href=BASE + path, refresh=False, underline="hover") for path, page in PAGES.items()]
    header = dmc.Group([
        dmc.Anchor(dmc.Title("Forebay", order=1, size="h3"), href=BASE, underline="never"),
        html.Nav(dmc.Group(links)),
        dmc.ColorSchemeToggle(lightIcon="☾", darkIcon="☀", variant="default", **{"aria-label": "Light or dark"}),
    ], justify="space-between", p="sm")  # fmt: skip
    main = html.Main(dmc.Container(dmc.Stack(id="page"), size="xl", py="md"))
    return dmc.MantineProvider([dcc.Location(id="place"), header, dmc.Divider(), main], defaultColorScheme="auto")


def _with_headers(app: ASGIApp, script_hashes: str) -> ASGIApp:
    """Return the application with a policy under which no script runs that these pages do not have."""
    policy = (
        f"default-src 'self'; script-src 'self' {script_hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    headers = [
        (b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"), (b"x-frame-options", b"DENY"),
    ]  # fmt: skip

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        if scope["path"].removeprefix(BASE) in PAGES:  # all pages are one document, which shows its address
            scope = {**scope, "path": BASE, "raw_path": BASE.encode()}
        await app(scope, receive, send_more)

    return with_headers
