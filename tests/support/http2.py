"""The client's side of HTTP/2 in bytes: what it sends, and what it reads of the answer."""

from typing import NamedTuple

from hpack import Decoder

from gateway.serving.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    HEADERS,
    PREFACE,
    RST_STREAM,
    frame,
    literal,
    settings,
)
from gateway.serving.service import EXT_PROC

PROCESS = f"/{EXT_PROC}/Process"
HELLO = PREFACE + settings({})


class Frame(NamedTuple):
    """A frame, taken apart."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frames_of(data: bytes) -> list[Frame]:
    """All frames of what a server sent."""
    frames = []
    while data:
        high, low, kind, flags, stream = FRAME_HEADER.unpack_from(data)
        end = FRAME_HEADER_BYTES + (high << 8 | low)
        assert end <= len(data), "a frame is not complete"
        frames.append(Frame(kind, flags, stream, data[FRAME_HEADER_BYTES:end]))
        data = data[end:]
    return frames


def block(path: str = PROCESS, content_type: str = "application/grpc") -> bytes:
    """The header block of a call, without tables."""
    pairs = {":method": "POST", ":path": path, "te": "trailers", "content-type": content_type}
    return b"".join(literal(name.encode(), value.encode()) for name, value in pairs.items())


def opened(stream: int, path: str = PROCESS, *, end: bool = False) -> bytes:
    """The HEADERS of a call."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(path))


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    """A DATA frame."""
    return frame(DATA, END_STREAM if end else 0, stream, payload)


class Answer:
    """The messages that a server sent on one stream."""

    def __init__(self, sent: bytes, stream: int = 1) -> None:
        decoder = Decoder()  # the server uses no table: any block may be read alone
        mine = [one for one in frames_of(sent) if one.stream == stream]
        self.headers = [dict(decoder.decode(one.payload)) for one in mine if one.kind == HEADERS]
        self.data = b"".join(one.payload for one in mine if one.kind == DATA)
        self.ended = any(one.kind == HEADERS and one.flags & END_STREAM for one in mine)
        self.reset = [int.from_bytes(one.payload, "big") for one in mine if one.kind == RST_STREAM]

    @property
    def status(self) -> str | None:
        """`grpc-status`, None while the stream is open."""
        return self.headers[-1].get("grpc-status") if self.headers else None

    @property
    def message(self) -> str:
        """`grpc-message`."""
        text: str = self.headers[-1].get("grpc-message", "")
        return text
