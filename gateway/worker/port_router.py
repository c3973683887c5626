"""One ASGI application for a worker's HTTP addresses: the port that was asked decides who answers.

Lives here: the dispatch by port.  Not here: what is answered (gateway.observability.http, gateway.admin), gRPC (grpc,
http2).
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config.addresses import split_address


class PortRouter:
    """Passes each request to the application of its address; `applications` has one per listening address."""

    def __init__(self, applications: Mapping[str, ASGIApp]) -> None:
        self._by_port = {split_address(address)[1]: application for address, application in applications.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.  Raises KeyError for a port that no application has."""
        await self._by_port[scope["server"][1]](scope, receive, send)
