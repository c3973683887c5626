"""gRPC's length-prefixed messages: a compressed flag of 1 byte, a big-endian length of 4 bytes, then the message.

Source: "gRPC over HTTP2", Length-Prefixed-Message.
"""

import struct
from collections.abc import Iterator
from typing import Final

from gateway.config.settings import MAX_BODY_LIMIT_BYTES
from gateway.serving.status import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED

_PREFIX = struct.Struct(">BI")
PREFIX_BYTES: Final = 5
MAX_MESSAGE_BYTES = 2 * MAX_BODY_LIMIT_BYTES + 1024 * 1024
"""The largest message accepted, in bytes: a body of twice `body_limit_bytes` at most (gateway.envoy.listener buffers no
more) arrives in one message; 1 MiB is for headers."""


MAX_UNFINISHED_BYTES = 256 * 1024 * 1024
"""Bytes of requests that a worker holds at most before they have arrived whole, over all calls (chosen: sixteen bodies
of the default limit; one of a client on the same network arrives within 0.1 s)."""


class FramingError(Exception):
    """The bytes are no sequence of uncompressed gRPC messages; `status` is the gRPC status that ends the call."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Unfinished:
    """The bytes of requests that have not arrived whole, over all calls of a worker."""

    def __init__(self) -> None:
        self.held = 0

    def add(self, size: int) -> None:
        """Count bytes that are held, or with a negative size bytes that no longer are.

        Raises FramingError when they are too many: the call that adds to them ends.
        """
        self.held += size
        if size > 0 and self.held > MAX_UNFINISHED_BYTES:
            raise FramingError(RESOURCE_EXHAUSTED, "too many requests have not arrived whole")


def frame(message: bytes) -> bytes:
    """Return the message with its prefix."""
    return _PREFIX.pack(0, len(message)) + message


class Deframer:
    """Splits a byte stream into messages, wherever its chunks begin and end."""

    def __init__(self, unfinished: Unfinished) -> None:
        self._unfinished = unfinished
        self._buffer = bytearray()
        self._needed = PREFIX_BYTES
        """Bytes of `_buffer` below which no message is complete, so that a large one is not parsed at every chunk."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete now.  Raises FramingError."""
        if self._buffer:
            self._buffer += data
            self._unfinished.add(len(data))
            if len(self._buffer) < self._needed:
                return
            exact = len(self._buffer) == self._needed > PREFIX_BYTES  # one large message: it is copied only once
            data = bytes(memoryview(self._buffer)[PREFIX_BYTES:] if exact else self._buffer)
            self.close()
            if exact:
                yield data
                return
        start, size, needed = 0, len(data), PREFIX_BYTES
        while size - start >= PREFIX_BYTES:
            needed = PREFIX_BYTES + _length(data, start)
            if size - start < needed:
                break
            yield data[start + PREFIX_BYTES : start + needed]
            start, needed = start + needed, PREFIX_BYTES
        if start < size:
            self._buffer += data[start:]
            self._needed = needed
            self._unfinished.add(size - start)

    def close(self) -> None:
        """Drop what is incomplete."""
        self._unfinished.add(-len(self._buffer))
        self._buffer.clear()


def _length(data: bytes, start: int) -> int:
    size: int
    compressed, size = _PREFIX.unpack_from(data, start)
    if compressed:
        raise FramingError(UNIMPLEMENTED, "compressed messages are not supported")
    if size > MAX_MESSAGE_BYTES:
        raise FramingError(INVALID_ARGUMENT, f"message = {size} bytes, must be at most {MAX_MESSAGE_BYTES}")
    return size
