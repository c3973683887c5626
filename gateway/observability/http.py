"""What operators ask over HTTP: /metrics, /healthz, /readyz and /debug/.

Lives here: paths and statuses, also for the admin interface.  Not here: the answers; callables give them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

NotReady = Callable[[], Sequence[str]]
"""Why no request should come here now; empty means ready."""

DebugPage = Callable[[], object]
"""A value that JSON can express; dataclasses too."""


class Json(JSONResponse):
    """JSON by orjson."""

    def render(self, content: Any) -> bytes:
        """The content as bytes; what JSON has no type for becomes its text."""
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


def operation_routes(metrics_page: Callable[[], bytes], metrics_type: str, not_ready: NotReady) -> list[Route]:
    """/healthz: the process answers; /readyz: it should be sent requests; /metrics: `metrics_page()`."""

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
    """The application of `listen.http`.  `debug` maps names to pages: `endpoints` -> /debug/endpoints.

    Everything runs on the event loop: pages see a consistent state and must be quick.
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
            *operation_routes(metrics_page, metrics_type, not_ready),
            Route("/debug/", index),
            Route("/debug/{name}", page),
        ]
    )
