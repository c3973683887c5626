"""One ASGI application for all of a worker's addresses: which face answers depends on the port that was asked.

Lives here: the dispatch by port, the lifespan, the drain call on the private address.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from gateway.app import Worker
from gateway.config.addresses import split_address
from gateway.serving.asgi import GrpcApp, Receive, Scope, Send
from gateway.serving.variables import DRAIN_PATH

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Faces:
    """gRPC on `listen.grpc` and the private address, HTTP on `listen.http`, admin REST on `listen.admin`."""

    def __init__(self, worker: Worker) -> None:
        listen = worker.settings.listen
        self._worker = worker
        self._private = split_address(worker.place.address)[1]
        self._grpc: AsgiApp = GrpcApp(worker.service)
        self._by_port: dict[int, AsgiApp] = {
            split_address(listen.http)[1]: worker.http,
            split_address(listen.admin)[1]: worker.admin,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await lifespan(self._worker.running(), receive, send)
            return
        port = scope["server"][1]
        if port == self._private and scope["path"] == DRAIN_PATH:
            await self._drain(send)
            return
        await self._by_port.get(port, self._grpc)(scope, receive, send)

    async def _drain(self, send: Send) -> None:
        await self._worker.drain()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def lifespan(running: AbstractAsyncContextManager[None], receive: Receive, send: Send) -> None:
    """Speak ASGI's lifespan protocol around `running`."""
    await receive()
    try:
        await running.__aenter__()
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await running.__aexit__(None, None, None)
    await send({"type": "lifespan.shutdown.complete"})
