"""The page that shows a model's load, plan and cost to people: one file, which asks /plan and /history every second.

Lives here: serving it.  Not here: what it shows (dash.html), the values (decision_json).
"""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

PAGE = Path(__file__).with_name("dash.html").read_text("utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
"""The page loads nothing, and asks this address only."""


async def _dash(_request: Request) -> Response:
    return HTMLResponse(PAGE, headers={"content-security-policy": POLICY, "cache-control": "no-store"})


def dash_route() -> Route:
    """Return the route of the page.  Names of models may contain slashes; unknown ones are told on the page."""
    return Route("/dash/{model:path}", _dash)
