"""The HTTP pages for operators: /metrics, /healthz, /readyz and /debug/.

Lives here: paths and statuses, for `listen.http` and the admin interface.  Not here: the content of the pages, which
callables return.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

NotReady = Callable[[], Sequence[str]]
"""Returns the reasons why this process should get no requests now; empty means ready."""

DebugPage = Callable[[], object]
"""Returns a value that orjson can serialise, dataclasses included."""


class Json(JSONResponse):
    """A JSON response, serialised by orjson."""

    def render(self, content: Any) -> bytes:
        """Serialise `content`; a value that JSON has no type for is written as its `str`."""
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


def problem(
    status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> Json:
    """Make an error answer: `{"message", "error"}`, with `error` in OpenAI's shape.

    Clients written for AIBrix read `message`; the other errors of the gateway have `error` too.
    """
    kind = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = {"message": message, "type": kind, "code": code, "param": param}
    return Json({"message": message, "error": error}, status_code=status, headers=headers)


def monitoring_routes(metrics_page: Callable[[], bytes], metrics_type: str, not_ready: NotReady) -> list[Route]:
    """Return the routes /healthz (the process lives), /readyz (it takes requests) and /metrics (`metrics_page()`)."""

    async def healthz(_request: Request) -> Response:
        return Json({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        reasons = list(not_ready())
        if reasons:
            return Json({"status": "not ready", "reasons": reasons}, status_code=503)
        return Json({"status": "ready"})

    async def metrics(_request: Request) -> Response:
        return Response(metrics_page(), headers={"content-type": metrics_type})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


def create_http_app(
    metrics_page: Callable[[], bytes], metrics_type: str, not_ready: NotReady, debug: Mapping[str, DebugPage]
) -> Starlette:
    """Build the application of `listen.http`.  `debug` maps names to pages: `endpoints` is served as /debug/endpoints.

    Pages are rendered on the event loop, so they see a consistent state and must be quick.
    """

    async def index(_request: Request) -> Response:
        return Json({"pages": [f"/debug/{name}" for name in sorted(debug)]})

    async def page(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in debug:
            raise HTTPException(404)
        return Json(debug[name]())

    return Starlette(
        routes=[
            *monitoring_routes(metrics_page, metrics_type, not_ready),
            Route("/debug/", index),
            Route("/debug/{name}", page),
        ]
    )
