"""gRPC's length-prefixed messages: 1 byte compressed flag, 4 bytes length, big endian, then the message.

Source: "gRPC over HTTP2", Length-Prefixed-Message.
"""

from collections.abc import Iterator

from gateway.settings import MAX_BODY_LIMIT_BYTES

PREFIX_BYTES = 5
MAX_MESSAGE_BYTES = 2 * MAX_BODY_LIMIT_BYTES + 1024 * 1024
"""A body arrives in one message, up to twice `body_limit_bytes` (gateway.envoy.listener); the rest is for headers."""


class FramingError(Exception):
    """Not a sequence of uncompressed gRPC messages."""


def frame(message: bytes) -> bytes:
    """One message with its prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Deframer:
    """Cuts a byte stream into messages, however it was split."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete now.  Raises FramingError."""
        buffer = self._rest + data if self._rest else data
        start = 0
        while len(buffer) - start >= PREFIX_BYTES:
            if buffer[start]:
                raise FramingError("compressed messages are not supported")
            size = int.from_bytes(buffer[start + 1 : start + PREFIX_BYTES], "big")
            if size > MAX_MESSAGE_BYTES:
                raise FramingError(f"message = {size} bytes, must be at most {MAX_MESSAGE_BYTES}")
            end = start + PREFIX_BYTES + size
            if len(buffer) < end:
                break
            yield buffer[start + PREFIX_BYTES : end]
            start = end
        self._rest = buffer[start:]
