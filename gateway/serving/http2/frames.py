"""HTTP/2 frames as bytes: their layout, what a server sends, and the header blocks it sends.

Source: RFC 9113 (HTTP/2), RFC 7541 (HPACK), "gRPC over HTTP2".  Pure.
Lives here: numbers, building frames.  Not here: which frame may follow which (connection).  What is `Final` is a
number in machine code too, not looked up by name.
"""

import struct
from typing import Final

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">HBBBI")
"""Length (16 + 8 bits), type, flags, stream."""
HEAD_BYTES: Final = 9

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
"""Flags."""
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0x0, 0x1, 0x3, 0x5, 0x6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 0x7, 0x8, 0x9
"""Error codes (section 7)."""
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 0x1, 0x3, 0x4, 0x5
"""Settings (section 6.5.2)."""

MAX_WINDOW: Final = 2**31 - 1
FIRST_WINDOW = 65_535
"""Of a connection and of each stream until settings say otherwise (section 6.9.2)."""
LEAST_MAX_FRAME = 16_384
MOST_MAX_FRAME = 2**24 - 1

NO_TABLE = b"\x20"
"""HPACK: from here on the dynamic table is empty; what we send never uses one (RFC 7541, section 6.3)."""
GRPC_HEADERS: Final = b"\x88\x0f\x10\x10application/grpc"
""":status 200 (static table 8); content-type (31) as a literal without indexing."""
NOT_GRPC = b"\x08\x03415"
""":status (name of 8) 415, as a literal without indexing."""


class Http2Error(Exception):
    """The client broke the protocol: the connection ends with this error code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def head(size: int, kind: int, flags: int, stream: int) -> bytes:
    """The 9 bytes before a payload of `size`."""
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A whole frame; the payload must fit the peer's largest."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """Room for `increment` more bytes."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst_stream(stream: int, code: int) -> bytes:
    """An end without an answer."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last_stream: int, code: int = NO_ERROR, reason: str = "") -> bytes:
    """No stream after `last_stream` is or will be served on this connection."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream, code) + reason.encode())


def literal(name: bytes, value: bytes) -> bytes:
    """A header field that no table remembers (RFC 7541, section 6.2.2); both texts below 16 KB."""
    return b"\0" + _length(len(name)) + name + _length(len(value)) + value


def _length(size: int) -> bytes:
    """An HPACK integer with a 7-bit prefix, no Huffman coding (section 5.1)."""
    if size < 0x7F:  # noqa: PLR2004 - the prefix's largest
        return bytes((size,))
    rest = size - 0x7F
    groups = [0x7F]
    while rest >= 0x80:  # noqa: PLR2004 - seven bits a group
        groups.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*groups, rest))


GRPC_OK = literal(b"grpc-status", b"0")
"""The trailers of nearly every call."""
