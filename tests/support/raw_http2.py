"""HTTP/2 without TLS that no client library would send: frames to a socket, with trailers and pauses as asked."""

from collections.abc import Callable, Mapping, Sequence

from hpack import Decoder

from gateway.serving.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_BYTES,
    HEADERS,
    RST_STREAM,
    frame,
    literal,
)
from tests.support.http2 import HELLO, frames_of
from tests.support.raw_http import RawAnswer, connected


def http2_exchange(
    url: str,
    path: str,
    pieces: Sequence[bytes],
    headers: Mapping[str, str],
    trailers: Mapping[str, str] | None = None,
) -> RawAnswer:
    """Send one request, its body in these pieces, ended by trailers if there are any, and return the answer.

    Trailers of the answer are among its headers.  Raises ConnectionError when the server resets the stream early.
    """
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "forebay", **headers}
    frames = [frame(HEADERS, END_HEADERS, 1, _block(fields))]
    frames += [frame(DATA, 0, 1, piece) for piece in pieces]
    ended = frame(DATA, END_STREAM, 1, b"")
    frames.append(ended if trailers is None else frame(HEADERS, END_HEADERS | END_STREAM, 1, _block(trailers)))
    with connected(url) as connection:
        connection.sendall(HELLO + b"".join(frames))
        return _read(connection.recv)


def _block(fields: Mapping[str, str]) -> bytes:
    return b"".join(literal(name.encode(), value.encode()) for name, value in fields.items())


def _read(receive: Callable[[int], bytes]) -> RawAnswer:
    decoder, received = Decoder(), b""
    headers: dict[str, str] = {}
    body = b""
    while True:
        data = receive(65536)
        assert data, "the connection was closed"
        received += data
        while len(received) >= (size := FRAME_HEADER_BYTES + int.from_bytes(received[:3])):
            (one,), received = frames_of(received[:size]), received[size:]
            if one.stream != 1:
                continue
            if one.kind == RST_STREAM:
                raise ConnectionError(f"reset with error {int.from_bytes(one.payload)}")
            if one.kind == HEADERS:
                headers |= {str(name): str(value) for name, value in decoder.decode(one.payload)}
            elif one.kind == DATA:
                body += one.payload
            if one.flags & END_STREAM and one.kind in (HEADERS, DATA):
                return RawAnswer(int(headers[":status"]), headers, body)
