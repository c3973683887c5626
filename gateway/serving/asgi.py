"""gRPC over ASGI: ext_proc, access log and health for a server that speaks HTTP/2 and hands us ASGI events (pyvoy).

Lives here: paths, framing, grpc-status trailers.  Not here: what the services do (service).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from gateway.serving.framing import Deframer, FramingError, frame
from gateway.serving.service import ACCESS_LOG, EXT_PROC, HEALTH, WATCH_S, Service
from gateway.serving.session import ProtocolError
from gateway.serving.status import INTERNAL, INVALID_ARGUMENT, NOT_FOUND, OK, UNIMPLEMENTED, percent_encoded

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/grpc")],
    "trailers": True,
}


class GrpcApp:
    """An ASGI application that answers the gRPC methods of `service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._methods: dict[str, Callable[[Receive, Send], Awaitable[None]]] = {
            f"/{EXT_PROC}/Process": self._process,
            f"/{ACCESS_LOG}/StreamAccessLogs": self._access_logs,
            f"/{HEALTH}/Check": self._check,
            f"/{HEALTH}/Watch": self._watch,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call, until it is answered or the client is gone."""
        with suppress(
            OSError
        ):  # what `send` raises once the client is gone (ASGI specification 2.4, "Disconnected Client")
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = self._methods.get(scope["path"])
        await send(START)
        if method is None:
            await end(send, UNIMPLEMENTED, f"unknown method {scope['path']}")
            return
        try:
            await method(receive, send)
        except ProtocolError as error:
            await end(send, INVALID_ARGUMENT, str(error))
        except FramingError as error:
            await end(send, error.status, str(error))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - supervision point
            # Without an error status the server would end the call with OK, which says to Envoy
            # "go on without me": unlimited and unrouted.
            self._service.failed(scope["path"], error)
            await end(send, INTERNAL, "internal error")

    async def _process(self, receive: Receive, send: Send) -> None:
        session = self._service.session()
        deframer = Deframer()
        try:
            more = True
            while more:
                event = await receive()
                if event["type"] == "http.disconnect":
                    return
                for message in deframer.feed(event.get("body", b"")):
                    replies = await session.feed(message)
                    if replies:
                        await send(body(b"".join(map(frame, replies))))
                more = event.get("more_body", False) and not session.ended
        finally:
            session.close()
        await end(send, OK)

    async def _access_logs(self, receive: Receive, send: Send) -> None:
        deframer = Deframer()
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            for message in deframer.feed(event.get("body", b"")):
                self._service.access_log(message)
            more = event.get("more_body", False)
        await send(body(frame(b"")))
        await end(send, OK)

    async def _check(self, receive: Receive, send: Send) -> None:
        if self._service.knows(await _only_message(receive)):
            await send(body(frame(self._service.health())))
            await end(send, OK)
        else:
            await end(send, NOT_FOUND, "unknown service")

    async def _watch(self, receive: Receive, send: Send) -> None:
        request = await _only_message(receive)
        self._service.knows(request)  # raises here rather than in the task

        async def tell() -> None:
            with suppress(OSError):
                async for status in self._service.health_changes(request):
                    await send(body(frame(status)))

        telling = asyncio.create_task(tell(), name="health-watch")
        try:
            while (await receive())["type"] != "http.disconnect":  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(WATCH_S)  # pyvoy 1.3 answers at once for ever after a complete request
        finally:
            telling.cancel()


async def _only_message(receive: Receive) -> bytes:
    """The message of a call that has one; empty when there is none."""
    deframer = Deframer()
    message, more = b"", True
    while more:
        event = await receive()
        for message in deframer.feed(event.get("body", b"")):  # noqa: B007 - the last one counts
            pass
        more = event.get("more_body", False)
    return message


def body(data: bytes) -> Message:
    """A piece of the response; more follows."""
    return {"type": "http.response.body", "body": data, "more_body": True}


async def end(send: Send, status: int, message: str = "") -> None:
    """The last piece and the trailers."""
    trailers = [(b"grpc-status", str(status).encode())]
    if message:
        trailers.append((b"grpc-message", percent_encoded(message)))
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})
