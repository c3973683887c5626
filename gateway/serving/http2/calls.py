"""gRPC calls on the streams of our HTTP/2 server.

Lives here: the table of methods, messages in order, the status at the end.  Not here: what methods do (service).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from gateway.serving.ext_proc_stream import ProtocolError
from gateway.serving.framing import MAX_MESSAGE_BYTES, Deframer, FramingError, frame
from gateway.serving.http2.connection import Connection, Stream
from gateway.serving.service import ACCESS_LOG, EXT_PROC, HEALTH, Service
from gateway.serving.status import INTERNAL, INVALID_ARGUMENT, NOT_FOUND, OK, UNIMPLEMENTED, percent_encoded

MAX_STATUS_CHARACTERS = 500
"""Characters of a status message, which may quote the client: a header block of ours must fit one frame (chosen)."""

QUEUED_MESSAGE_BYTES = 128
"""Bytes that a message counts beside its own while it waits: empty ones take memory and time too (chosen)."""


class _Call:
    """The base of all gRPC calls: decodes messages, maps errors to statuses, and sends nothing after the end."""

    method: ClassVar[str] = ""

    def __init__(self, service: Service, connection: Connection, stream: Stream) -> None:
        self._service = service
        self._connection = connection
        self._stream: Stream | None = stream
        """None once the call is over: that breaks the cycle of stream and call, which would keep the messages alive."""
        self._deframer = Deframer(service.unfinished)

    def feed(self, data: bytes) -> None:
        if self._stream is None or not data:
            return
        try:
            for message in self._deframer.feed(data):
                self._on_message(message)
        except Exception as error:  # noqa: BLE001 - supervision point
            self._fail(error)
        if self._is_over:  # with one of several messages
            self._deframer.close()

    @property
    def _is_over(self) -> bool:
        return self._stream is None

    def end(self) -> None:
        self._finish(OK)

    def reset(self) -> None:
        self._stream = None
        self._deframer.close()
        self._release()

    def _on_message(self, message: bytes) -> None:
        """Handle one message of the client."""
        raise NotImplementedError

    def _release(self) -> None:
        """Free what the call holds, because it is over."""

    def _reply(self, *messages: bytes) -> None:
        if messages and self._stream is not None:
            framed = frame(messages[0]) if len(messages) == 1 else b"".join(map(frame, messages))
            self._connection.send(self._stream, framed)

    def _finish(self, status: int, message: str = "") -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            encoded = percent_encoded(message[:MAX_STATUS_CHARACTERS]) if message else b""
            self._connection.finish(stream, status, encoded)
            self._deframer.close()
            self._release()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, ProtocolError):
            self._finish(INVALID_ARGUMENT, str(error))
        elif isinstance(error, FramingError):
            self._finish(error.status, str(error))
        else:
            self._service.report_failure(self.method, error)
            self._finish(INTERNAL, "internal error")


class _Process(_Call):
    """ExternalProcessor.Process.  While admission decides about a request, further messages of its stream wait."""

    method: ClassVar[str] = f"/{EXT_PROC}/Process"

    def __init__(self, service: Service, connection: Connection, stream: Stream) -> None:
        super().__init__(service, connection, stream)
        self._ext_proc = service.ext_proc_stream()
        self._queue: deque[bytes] = deque()  # messages that wait for the decision
        self._queued_bytes = 0  # with QUEUED_MESSAGE_BYTES for each
        self._decision: asyncio.Task[list[bytes]] | None = None
        self._client_done = False  # the client sent END_STREAM

    def end(self) -> None:
        self._client_done = True
        if self._decision is None:
            self._finish(OK)

    def _release(self) -> None:
        """Close the stream, after a decision under way: a reservation that Redis is just making must be settled."""
        self._service.unfinished.add(-self._queued_bytes)
        self._queue, self._queued_bytes = deque(), 0
        if self._decision is not None:
            self._ext_proc.abandon()
            return
        try:
            self._ext_proc.close()
        except Exception as error:  # noqa: BLE001 - supervision point
            self._service.report_failure(self.method, error)

    def _on_message(self, message: bytes) -> None:
        if self._decision is not None:
            self._enqueue(message)
            return
        step = self._ext_proc.step(message)
        if not isinstance(step, list):
            self._decision = asyncio.create_task(step, name="admission")
            self._connection.undecided_calls += 1
            self._decision.add_done_callback(self._on_decided)
            return
        self._reply(*step)
        if self._ext_proc.ended:
            self._finish(OK)

    def _enqueue(self, message: bytes) -> None:
        size = len(message) + QUEUED_MESSAGE_BYTES
        self._queue.append(message)
        self._queued_bytes += size
        self._service.unfinished.add(size)
        if self._queued_bytes > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"queued messages = {self._queued_bytes} bytes, must be at most {MAX_MESSAGE_BYTES}")

    def _on_decided(self, decision: asyncio.Task[list[bytes]]) -> None:
        self._decision = None
        self._connection.undecided_calls -= 1
        try:
            self._reply(*decision.result())
            self._resume()
        except Exception as error:  # noqa: BLE001 - supervision point
            self._fail(error)
        if self._stream is None:
            self._release()

    def _resume(self) -> None:
        """Handle the queued messages after a decision, up to one that needs the next decision."""
        while self._queue and self._stream is not None and self._decision is None:
            message = self._queue.popleft()
            size = len(message) + QUEUED_MESSAGE_BYTES
            self._queued_bytes -= size
            self._service.unfinished.add(-size)
            self._on_message(message)
        if self._decision is None and (self._client_done or self._ext_proc.ended):
            self._finish(OK)


class _AccessLogs(_Call):
    """AccessLogService.StreamAccessLogs."""

    method: ClassVar[str] = f"/{ACCESS_LOG}/StreamAccessLogs"

    def end(self) -> None:
        self._reply(b"")
        self._finish(OK)

    def _on_message(self, message: bytes) -> None:
        self._service.settle_access_log(message)
        if self._service.is_stopping:
            self.end()


class _Check(_Call):
    """Health.Check."""

    method: ClassVar[str] = f"/{HEALTH}/Check"

    def _on_message(self, message: bytes) -> None:
        if self._service.knows_service(message):
            self._reply(self._service.health())
            self._finish(OK)
        else:
            self._finish(NOT_FOUND, "unknown service")


class _Watch(_Call):
    """Health.Watch."""

    method: ClassVar[str] = f"/{HEALTH}/Watch"

    def __init__(self, service: Service, connection: Connection, stream: Stream) -> None:
        super().__init__(service, connection, stream)
        self._watching: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Keep answering: a client may end its side after the request."""

    def _release(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    def _on_message(self, message: bytes) -> None:
        self._service.knows_service(message)  # raises here for a malformed request, rather than in the task
        if self._watching is None:
            self._watching = asyncio.create_task(self._send_changes(message), name="health-watch")

    async def _send_changes(self, request: bytes) -> None:
        async for status in self._service.health_changes(request):
            self._reply(status)


class _Unknown(_Call):
    """An unknown method: the call ends at once."""

    def __init__(self, service: Service, connection: Connection, stream: Stream, path: str) -> None:
        super().__init__(service, connection, stream)
        self._finish(UNIMPLEMENTED, f"unknown method {path}")

    def _on_message(self, message: bytes) -> None:
        """Ignore the message."""


METHODS: dict[str, Callable[[Service, Connection, Stream], _Call]] = {
    call.method: call for call in (_Process, _AccessLogs, _Check, _Watch)
}


def open_call(service: Service, connection: Connection, path: str, stream: Stream) -> _Call:
    """Return the call that a new stream carries, by the method in its path."""
    method = METHODS.get(path)
    return method(service, connection, stream) if method is not None else _Unknown(service, connection, stream, path)
