"""Counts every call of the runtime, and refuses bodies that are too large.

Lives here: ASGI middleware.  Not here: the counts (metrics.api_calls).
"""

from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.errors import Problem
from runtime.metrics.api_calls import ApiCalls, Call

MAX_BODY_BYTES = 1024 * 1024
"""The largest body of a call, in bytes (chosen)."""
UNKNOWN = "unknown"
"""The endpoint of calls that no route takes, so that clients make no labels."""
UNCOUNTED = "/metrics"


class Counted:
    """Passes calls on to an application; `clock` returns seconds that never go back."""

    def __init__(self, app: ASGIApp, calls: ApiCalls, clock: Callable[[], float]) -> None:
        self._app = app
        self._calls = calls
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on and count it; a scrape is not counted."""
        if scope["type"] != "http" or scope["path"].rstrip("/") == UNCOUNTED:
            await self._app(scope, receive, send)
            return
        began_s, status = self._clock(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await (_refusal(scope) or self._app)(scope, receive, noting)
        finally:
            endpoint = getattr(scope.get("route"), "path", UNKNOWN)
            self._calls.add(Call(scope["method"], endpoint, str(status)), self._clock() - began_s)


def _refusal(scope: Scope) -> JSONResponse | None:
    """Return the answer to a body that is too large, or does not say how large it is."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        problem = Problem(HTTPStatus.LENGTH_REQUIRED, "the body must have a content-length")
    elif int(headers.get(b"content-length", 0)) > MAX_BODY_BYTES:  # uvicorn refuses one that is not a number
        problem = Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MAX_BODY_BYTES} bytes")
    else:
        return None
    return JSONResponse(problem.body(), problem.status)
