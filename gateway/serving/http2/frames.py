"""HTTP/2 frames as bytes: their layout, and the frames and header blocks that a server sends.

Source: RFC 9113 (HTTP/2), RFC 7541 (HPACK), "gRPC over HTTP2".  Pure.
Lives here: numbers, building frames.  Not here: which frame may follow which (connection).
Constants of hot code are `Final`: mypyc then compiles them to numbers instead of looking them up by name.
"""

import struct
from typing import Final

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER = struct.Struct(">HBBBI")
"""The header of a frame: length (upper 16, lower 8 bits), type, flags, stream id (RFC 9113, section 4.1)."""
FRAME_HEADER_BYTES: Final = 9

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
"""Frame types (RFC 9113, section 6)."""
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20
"""Flags (section 6)."""
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0x0, 0x1, 0x3, 0x5, 0x6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x7, 0x8, 0x9, 0xB
"""Error codes (section 7)."""
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 0x1, 0x3, 0x4, 0x5
"""Identifiers of settings (section 6.5.2)."""

MAX_WINDOW: Final = 2**31 - 1
"""The largest flow-control window, and the mask of a stream id (sections 6.9.1 and 4.1)."""
DEFAULT_WINDOW = 65_535
"""The window of a connection, and of each stream until settings change it, in bytes (section 6.9.2)."""
MIN_MAX_FRAME_SIZE = 16_384
MAX_MAX_FRAME_SIZE = 2**24 - 1
"""Bounds of the setting MAX_FRAME_SIZE; the lower one is its default (section 6.5.2)."""

EMPTY_TABLE = b"\x20"
"""An HPACK size update that empties the dynamic table, which we never use (RFC 7541, section 6.3)."""
GRPC_HEADERS: Final = b"\x88\x0f\x10\x10application/grpc"
""":status 200 (static table 8); content-type (31) as a literal without indexing."""
NOT_GRPC = b"\x08\x03415"
""":status (name of 8) 415, as a literal without indexing."""


class Http2Error(Exception):
    """The client broke the protocol: the connection is closed with this error code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def frame_header(size: int, kind: int, flags: int, stream: int) -> bytes:
    """Return the 9 bytes in front of a payload of `size` bytes."""
    return FRAME_HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame; the payload must not be over the peer's MAX_FRAME_SIZE."""
    size = len(payload)
    return FRAME_HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame, which lets the peer send `increment` more bytes."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst_stream(stream: int, code: int) -> bytes:
    """Return an RST_STREAM frame, which ends a stream at once."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last_stream: int, code: int = NO_ERROR, reason: str = "") -> bytes:
    """Return a GOAWAY frame: no stream after `last_stream` is or will be served on this connection."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream, code) + reason.encode())


def literal(name: bytes, value: bytes) -> bytes:
    """Return a header field as a literal without indexing (RFC 7541, section 6.2.2)."""
    return b"\0" + _length(len(name)) + name + _length(len(value)) + value


def _length(size: int) -> bytes:
    """Return a string's length as HPACK writes it: an integer with a 7-bit prefix, not Huffman coded (section 5.2)."""
    if size < 0x7F:  # noqa: PLR2004 - the largest value of the prefix
        return bytes((size,))
    rest = size - 0x7F
    groups = [0x7F]
    while rest >= 0x80:  # noqa: PLR2004 - seven bits a group
        groups.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*groups, rest))


GRPC_OK = literal(b"grpc-status", b"0")
"""The trailers of a call that succeeded, as nearly all do."""


def unpadded(payload: bytes, flags: int) -> bytes:
    """Return the payload of DATA or HEADERS without its padding (section 6.1).  Raises Http2Error."""
    if not flags & PADDED:
        return payload
    padding = payload[0] if payload else 0
    if not payload or padding >= len(payload):
        raise Http2Error(PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - padding]
