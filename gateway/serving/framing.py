"""gRPC's length-prefixed messages: 1 byte compressed flag, 4 bytes length, big endian, then the message.

Source: "gRPC over HTTP2", Length-Prefixed-Message.
"""

import struct
from collections.abc import Iterator
from typing import Final

from gateway.config.settings import MAX_BODY_LIMIT_BYTES
from gateway.serving.status import INVALID_ARGUMENT, UNIMPLEMENTED

_PREFIX = struct.Struct(">BI")
PREFIX_BYTES: Final = 5
MAX_MESSAGE_BYTES = 2 * MAX_BODY_LIMIT_BYTES + 1024 * 1024
"""A body arrives in one message, up to twice `body_limit_bytes` (gateway.envoy.listener); the rest is for headers."""


class FramingError(Exception):
    """Not a sequence of uncompressed gRPC messages; `status` is how the call ends."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def frame(message: bytes) -> bytes:
    """One message with its prefix."""
    return _PREFIX.pack(0, len(message)) + message


class Deframer:
    """Cuts a byte stream into messages, however it was split."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._needed = PREFIX_BYTES
        """Bytes of `_rest` below which no message can be complete: a large one is not looked at piece by piece."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete now.  Raises FramingError."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        start, size, needed = 0, len(data), PREFIX_BYTES
        while size - start >= PREFIX_BYTES:
            needed = PREFIX_BYTES + _length(data, start)
            if size - start < needed:
                break
            yield data[start + PREFIX_BYTES : start + needed]
            start, needed = start + needed, PREFIX_BYTES
        if start < size:
            self._rest += data[start:]
            self._needed = needed


def _length(data: bytes, start: int) -> int:
    size: int
    compressed, size = _PREFIX.unpack_from(data, start)
    if compressed:
        raise FramingError(UNIMPLEMENTED, "compressed messages are not supported")
    if size > MAX_MESSAGE_BYTES:
        raise FramingError(INVALID_ARGUMENT, f"message = {size} bytes, must be at most {MAX_MESSAGE_BYTES}")
    return size
