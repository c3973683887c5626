"""A client of an HTTP/2 connection without a socket, and calls that write down what they are told."""

import pytest

from gateway.serving.http2.connection import Connection, Stream
from gateway.serving.http2.frames import Http2Error
from tests.support.http2 import HELLO

ECHO, DEAF = "/echo", "/deaf"


class Client:
    """A connection and what its calls were told.  `/echo` sends back what it is fed and ends when its client does."""

    def __init__(self, hello: bytes = HELLO) -> None:
        self.told: list[tuple[str, int, bytes]] = []
        self.streams: dict[int, Stream] = {}
        self.connection = Connection(self._open, lambda: None)
        self.connection.receive(hello)
        self.greeting = self.sent()

    def _open(self, path: str, stream: Stream) -> "Recorded":
        self.streams[stream.id] = stream
        self.told.append((path, stream.id, b""))
        return Recorded(self, stream, echo=path == ECHO)

    def sends(self, *frames: bytes) -> bytes:
        """Receive these frames and return the bytes that are sent back."""
        self.connection.receive(b"".join(frames))
        return self.sent()

    def sent(self) -> bytes:
        out = b"".join(self.connection.out)
        self.connection.out.clear()
        return out

    def fails(self, *frames: bytes) -> int:
        """The error code that ends the connection."""
        with pytest.raises(Http2Error) as caught:
            self.connection.receive(b"".join(frames))
        return caught.value.code

    def fed(self, stream: int = 1) -> bytes:
        return b"".join(payload for what, one, payload in self.told if (what, one) == ("fed", stream))


class Recorded:
    """A call that writes down what it is told."""

    def __init__(self, client: Client, stream: Stream, *, echo: bool) -> None:
        self._client = client
        self._stream = stream
        self._echo = echo

    def feed(self, data: bytes) -> None:
        self._client.told.append(("fed", self._stream.id, data))
        if self._echo and data:
            self._client.connection.send(self._stream, data)

    def end(self) -> None:
        self._client.told.append(("ended", self._stream.id, b""))
        if self._echo:
            self._client.connection.finish(self._stream, 0)

    def reset(self) -> None:
        self._client.told.append(("reset", self._stream.id, b""))
