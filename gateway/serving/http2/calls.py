"""gRPC calls as streams of our HTTP/2 server carry them.

Lives here: methods by path, messages in order, status at the end.  Not here: what the services do (service).
"""

import asyncio
from collections.abc import Callable
from typing import ClassVar

from gateway.serving.ext_proc_stream import ProtocolError
from gateway.serving.framing import MAX_MESSAGE_BYTES, Deframer, FramingError, frame
from gateway.serving.http2.connection import Connection, Stream
from gateway.serving.service import ACCESS_LOG, EXT_PROC, HEALTH, Service
from gateway.serving.status import INTERNAL, INVALID_ARGUMENT, NOT_FOUND, OK, UNIMPLEMENTED, percent_encoded

MAX_STATUS_LETTERS = 500
"""Of a status's text, which may quote the client: no header block of ours may need more than one frame (chosen)."""


class _Call:
    """What all methods share: messages out of bytes, errors into statuses, nothing sent after the end."""

    method: ClassVar[str] = ""

    def __init__(self, service: Service, connection: Connection, stream: Stream) -> None:
        self._service = service
        self._connection = connection
        self._stream: Stream | None = stream
        """None once the call is over: the stream refers to it, and a cycle would keep its messages for long."""
        self._deframer = Deframer()

    def feed(self, data: bytes) -> None:
        if self._stream is None or not data:
            return
        try:
            for message in self._deframer.feed(data):
                self._take(message)
        except Exception as error:  # noqa: BLE001 - supervision point
            self._fail(error)

    def end(self) -> None:
        self._finish(OK)

    def reset(self) -> None:
        self._stream = None
        self._release()

    def _take(self, message: bytes) -> None:
        """One message of the client."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of what the call holds: it is over."""

    def _reply(self, *messages: bytes) -> None:
        if messages and self._stream is not None:
            framed = frame(messages[0]) if len(messages) == 1 else b"".join(map(frame, messages))
            self._connection.send(self._stream, framed)

    def _finish(self, status: int, message: str = "") -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            said = percent_encoded(message[:MAX_STATUS_LETTERS]) if message else b""
            self._connection.finish(stream, status, said)
            self._release()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, ProtocolError):
            self._finish(INVALID_ARGUMENT, str(error))
        elif isinstance(error, FramingError):
            self._finish(error.status, str(error))
        else:
            self._service.failed(self.method, error)
            self._finish(INTERNAL, "internal error")


class _Process(_Call):
    """ExternalProcessor.Process.  Messages wait while an admission does."""

    method: ClassVar[str] = f"/{EXT_PROC}/Process"

    def __init__(self, service: Service, connection: Connection, stream: Stream) -> None:
        super().__init__(service, connection, stream)
        self._ext_proc = service.ext_proc_stream()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._deciding: asyncio.Task[list[bytes]] | None = None
        self._ended = False  # by the client, in order

    def end(self) -> None:
        self._ended = True
        if self._deciding is None:
            self._finish(OK)

    def _release(self) -> None:
        """A decision under way comes to its end first: a reservation that Redis is just making must be settled."""
        if self._deciding is not None:
            self._ext_proc.abandon()
            return
        try:
            self._ext_proc.close()
        except Exception as error:  # noqa: BLE001 - supervision point
            self._service.failed(self.method, error)

    def _take(self, message: bytes) -> None:
        if self._deciding is not None:
            self._wait(message)
            return
        step = self._ext_proc.step(message)
        if not isinstance(step, list):
            self._deciding = asyncio.create_task(step, name="admission")
            self._connection.deciding += 1
            self._deciding.add_done_callback(self._decided)
            return
        self._reply(*step)
        if self._ext_proc.ended:
            self._finish(OK)

    def _wait(self, message: bytes) -> None:
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        if self._waiting_bytes > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"waiting = {self._waiting_bytes} bytes, must be at most {MAX_MESSAGE_BYTES}")

    def _decided(self, deciding: asyncio.Task[list[bytes]]) -> None:
        self._deciding = None
        self._connection.deciding -= 1
        try:
            self._reply(*deciding.result())
            self._go_on()
        except Exception as error:  # noqa: BLE001 - supervision point
            self._fail(error)
        if self._stream is None:
            self._release()

    def _go_on(self) -> None:
        """After a decision: what came meanwhile, up to the next one."""
        while self._waiting and self._stream is not None and self._deciding is None:
            message = self._waiting.pop(0)
            self._waiting_bytes -= len(message)
            self._take(message)
        if self._deciding is None and (self._ended or self._ext_proc.ended):
            self._finish(OK)


class _AccessLogs(_Call):
    """AccessLogService.StreamAccessLogs."""

    method: ClassVar[str] = f"/{ACCESS_LOG}/StreamAccessLogs"

    def end(self) -> None:
        self._reply(b"")
        self._finish(OK)

    def _take(self, message: bytes) -> None:
        self._service.access_log(message)


class _Check(_Call):
    """Health.Check."""

    method: ClassVar[str] = f"/{HEALTH}/Check"

    def _take(self, message: bytes) -> None:
        if self._service.knows(message):
            self._reply(self._service.health())
            self._finish(OK)
        else:
            self._finish(NOT_FOUND, "unknown service")


class _Watch(_Call):
    """Health.Watch."""

    method: ClassVar[str] = f"/{HEALTH}/Watch"

    def __init__(self, service: Service, connection: Connection, stream: Stream) -> None:
        super().__init__(service, connection, stream)
        self._telling: asyncio.Task[None] | None = None

    def end(self) -> None:
        """The client said what it watches; the answer has no end."""

    def _release(self) -> None:
        if self._telling is not None:
            self._telling.cancel()

    def _take(self, message: bytes) -> None:
        self._service.knows(message)  # raises here rather than in the task
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(message), name="health-watch")

    async def _tell(self, request: bytes) -> None:
        async for status in self._service.health_changes(request):
            self._reply(status)


class _Unknown(_Call):
    """A method that is not there."""

    def __init__(self, service: Service, connection: Connection, stream: Stream, path: str) -> None:
        super().__init__(service, connection, stream)
        self._finish(UNIMPLEMENTED, f"unknown method {path}")

    def _take(self, message: bytes) -> None:
        """Nothing is read."""


METHODS: dict[str, Callable[[Service, Connection, Stream], _Call]] = {
    call.method: call for call in (_Process, _AccessLogs, _Check, _Watch)
}


def open_call(service: Service, connection: Connection, path: str, stream: Stream) -> _Call:
    """The call that a new stream carries."""
    method = METHODS.get(path)
    return method(service, connection, stream) if method is not None else _Unknown(service, connection, stream, path)
