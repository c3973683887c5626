"""One ASGI application for all HTTP addresses of a worker, which dispatches by port.

Lives here: the dispatch.  Not here: the applications (gateway.observability.http, gateway.admin), gRPC
(gateway.serving).
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config.addresses import split_address


class PortRouter:
    """Passes each request to the application of its port; `applications` maps listening addresses to them."""

    def __init__(self, applications: Mapping[str, ASGIApp]) -> None:
        self._by_port = {split_address(address)[1]: application for address, application in applications.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.  Raises KeyError for a port without an application."""
        await self._by_port[scope["server"][1]](scope, receive, send)
