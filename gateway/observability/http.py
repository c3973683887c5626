"""The HTTP pages for operators: /, /metrics, /healthz, /readyz and /debug/.

Lives here: paths and statuses, for `listen.http` and the admin interface.  Not here: the content of the pages, which
callables return.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

NotReady = Callable[[], Sequence[str]]
"""Returns the reasons why this process should get no requests now; empty means ready."""

MetricsPage = Callable[[], bytes | Awaitable[bytes]]
"""Returns the metrics as text, now or later."""

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


MONITORING = {
    "/healthz": "whether the process lives",
    "/readyz": "whether it takes requests, or why not",
    "/metrics": "metrics for Prometheus",
}
"""The paths of `monitoring_routes`, for people."""
GATEWAY_READY = "/readyz/gateway"
_PAGES = {GATEWAY_READY: "the same, whatever pods there are", "/debug/": "what it knows and decides"}
"""The other paths of `listen.http`."""


def index_route(what: str, paths: Mapping[str, str], elsewhere: Mapping[str, str]) -> Route:
    """Return the route of GET /, which says what this address is: as JSON to clients that ask for it, else as text.

    `paths` are what this address serves, `elsewhere` other addresses and what they are for.
    """
    service = f"Forebay, an LLM inference gateway: {what}"
    text = "\n".join([f"This is {service}.", "", *_table(paths), "", *_table(elsewhere), ""])

    async def index(request: Request) -> Response:
        if "application/json" in request.headers.get("accept", "").lower():
            return Json({"service": service, "paths": paths, "elsewhere": elsewhere})
        return PlainTextResponse(text)

    return Route("/", index)


def _table(rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:<{width}}  {what}" for name, what in rows.items()]


def monitoring_routes(
    metrics_page: MetricsPage, metrics_type: str, not_ready: NotReady, notes: NotReady = tuple
) -> list[Route]:
    """Return the routes /healthz (the process lives), /readyz (it takes requests) and /metrics (`metrics_page()`).

    `notes` returns what is wrong although it takes requests, which /readyz says too.
    """

    async def healthz(_request: Request) -> Response:
        return Json({"status": "ok"})

    async def metrics(_request: Request) -> Response:
        page = metrics_page()
        return Response(page if isinstance(page, bytes) else await page, headers={"content-type": metrics_type})

    return [Route("/healthz", healthz), _ready_route("/readyz", not_ready, notes), Route("/metrics", metrics)]


def _ready_route(path: str, not_ready: NotReady, notes: NotReady = tuple) -> Route:
    async def ready(_request: Request) -> Response:
        reasons = list(not_ready())
        more = {"notes": said} if (said := list(notes())) else {}
        if reasons:
            return Json({"status": "not ready", "reasons": reasons, **more}, status_code=503)
        return Json({"status": "ready", **more})

    return Route(path, ready)


def create_http_app(
    metrics_page: MetricsPage,
    metrics_type: str,
    not_ready: NotReady,
    debug: Mapping[str, DebugPage],
    elsewhere: Mapping[str, str] = MappingProxyType({}),
    *,
    own_not_ready: NotReady,
    notes: NotReady = tuple,
) -> Starlette:
    """Build the application of `listen.http`.  `debug` maps names to pages: `endpoints` is served as /debug/endpoints.

    `own_not_ready`, which disregards pods, is served as /readyz/gateway, `notes` with /readyz; `elsewhere` is shown at
    / (index_route).  Pages are rendered on the event loop, so they see a consistent state and must be quick.
    """

    async def debug_index(_request: Request) -> Response:
        return Json({"pages": [f"/debug/{name}" for name in sorted(debug)]})

    async def page(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in debug:
            raise HTTPException(404)
        return Json(debug[name]())

    return Starlette(
        routes=[
            *monitoring_routes(metrics_page, metrics_type, not_ready, notes),
            _ready_route(GATEWAY_READY, own_not_ready),
            index_route("pages for operators", {**MONITORING, **_PAGES}, elsewhere),
            Route("/debug/", debug_index),
            Route("/debug/{name}", page),
        ]
    )
