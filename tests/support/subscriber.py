"""A subscriber of KV events."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import msgpack
import zmq
import zmq.asyncio

Message = tuple[bytes, int, list[Any]]
"""Topic, number, and what the payload holds: time, events, rank."""


class Subscriber:
    """Subscribes to everything at an endpoint that a publisher has bound, or will."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.subscribe(b"")
        self._socket.connect(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.destroy(linger=0)

    async def joined(self, provoke: Callable[[], Awaitable[object]]) -> Message:
        """Provoke messages until one comes: those before a subscription has reached the publisher are lost."""
        while True:
            await provoke()
            try:
                return await self.message(1.0)
            except TimeoutError:
                continue

    async def message(self, limit_s: float = 20.0) -> Message:
        """Return the next one."""
        topic, number, payload = await asyncio.wait_for(self._socket.recv_multipart(), limit_s)
        return topic, int.from_bytes(number, "big"), msgpack.unpackb(payload)
