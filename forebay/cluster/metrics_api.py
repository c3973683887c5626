"""Serving the metrics APIs in TLS, beside the controllers and in every process: an autoscaler may ask any of them.

Lives here: the server, and when its certificates are looked at again.  Not here: what is answered and who may ask
(controllers.metricsapi).
"""

import asyncio
from collections.abc import Callable

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from controllers.metricsapi.answers import API_SERVICES
from controllers.metricsapi.certificate import Pair, Place, kept, tell
from controllers.metricsapi.front_proxy import FrontProxy, front_proxy, tls_context
from gateway.observability.serving import http_server, shared_socket
from kube.client import Client
from kube.errors import ApiError

LOOK_S, RETRY_S = 30.0, 2.0
"""Pause between looks at what may change by hand, and after one that failed, in seconds (chosen)."""
GOODBYE_S = 3
"""Time that answers which are being given have at the end, in seconds (chosen)."""

log = structlog.get_logger("metrics-api")


class MetricsApiServer:
    """One server on one address; `run` it.  `now_s` returns seconds since the epoch."""

    def __init__(self, client: Client, app: ASGIApp, listen: str, place: Place, now_s: Callable[[], float]) -> None:
        self._client, self._app, self._listen, self._place, self._now_s = client, app, listen, place, now_s
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._failure = ""

    async def run(self) -> None:
        """Serve, from the first look that succeeds until cancelled; another authority or certificate begins anew."""
        known = None
        try:
            while True:
                found = await self._look()
                if found is not None and found != known:
                    await self._end()
                    self._begin(*found)
                    known = found
                if self._serving is not None and self._serving.done():
                    self._serving.result()
                await asyncio.sleep(RETRY_S if found is None else LOOK_S)
        finally:
            await self._end()

    async def _look(self) -> tuple[Pair, FrontProxy] | None:
        """Return the certificate, which the API server has been told, and who may call; None = not now."""
        try:
            pair, proxy = await kept(self._client, self._place, self._now_s()), await front_proxy(self._client)
            await tell(self._client, self._place, pair.certificate, API_SERVICES)
        except (ApiError, ValueError) as error:
            if (why := str(error)) != self._failure:
                log.warning("metrics_api_waits", why=why)
            self._failure = why
            return None
        self._failure = ""
        return pair, proxy

    def _begin(self, pair: Pair, proxy: FrontProxy) -> None:
        self._server = http_server(self._app, tls_context(pair, proxy))
        self._server.config.http_protocol_class = _only(proxy)
        self._server.config.timeout_graceful_shutdown = GOODBYE_S
        serving = self._server.serve([shared_socket(self._listen)])
        self._serving = asyncio.create_task(serving, name="metrics-api")
        log.info("metrics_api_serves", address=self._listen)

    async def _end(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving


def _only(proxy: FrontProxy) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, which ends a connection of anybody but a front proxy before it reads a request."""

    class FrontProxyOnly(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
            super().connection_made(transport)
            if not proxy.knows(transport.get_extra_info("peercert")):
                transport.abort()

    return FrontProxyOnly
