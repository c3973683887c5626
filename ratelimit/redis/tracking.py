"""News of changed user records, from Redis itself, whoever changed them (CLIENT TRACKING in broadcast mode).

Lives here: the connection on which Redis tells.  Not here: what is forgotten then (refusals).

Redis writes the news to this connection before it answers the one who made the change, so whoever looks for unread
bytes first (`is_quiet`) cannot act on what was already changed.
"""

import asyncio
import contextlib
import select
import time
from collections.abc import Callable
from typing import cast

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

SILENT_S = 3.0
"""Without an answer to a ping for this long, nothing is known any more.  Chosen: three pings."""

_PING = b"*1\r\n$4\r\nPING\r\n"


class Tracking(asyncio.Protocol):
    """Tells `on_change` the key's rest after `prefix` for each key that was written, None for all of them."""

    def __init__(self, url: str, timeout_s: float, prefix: str, on_change: Callable[[str | None], None]) -> None:
        self._pool = ConnectionPool.from_url(
            url, protocol=3, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        self._timeout_s = timeout_s
        self._prefix = prefix
        self._on_change = on_change
        self._connection: AbstractConnection | None = None
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._unread = select.poll()
        self._heard_s = 0.0
        self.changes = 0
        """Goes up with every piece of news."""

    @property
    def up(self) -> bool:
        """Whether Redis would have told of every change until about now."""
        return self._transport is not None and time.monotonic() - self._heard_s < SILENT_S

    def is_quiet(self) -> bool:
        """Whether there is no news, not even unread."""
        return self.up and not self._unread.poll(0)

    async def keep(self) -> None:
        """Be connected, and ask for a sign of life."""
        if self._transport is None:
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(self._timeout_s):
                    await self._connect()
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # redis-py 8.1 loses a cancellation while it connects
                raise asyncio.CancelledError
        if self._transport is not None:
            self._transport.write(_PING)

    async def _connect(self) -> None:
        await self.aclose()
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        self._connection = connection
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
        await connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
        await connection.read_response()
        writer = connection._writer  # redis-py has no way to be told at once; from here on the bytes are ours
        assert writer is not None  # noqa: S101 - it is connected
        self._transport = cast(asyncio.Transport, writer.transport)
        self._reader = hiredis.Reader()
        self._unread = select.poll()
        self._unread.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        self._reader.feed(data)
        while (message := self._reader.gets()) is not False:
            if isinstance(message, list):
                self._told(message[1])
            else:  # the answer to a ping
                self._heard_s = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio's."""
        self._transport, self._heard_s = None, 0.0
        self._told(None)

    def _told(self, keys: list[bytes] | None) -> None:
        self.changes += 1
        for key in keys if keys is not None else (None,):
            self._on_change(None if key is None else key.decode(errors="replace").removeprefix(self._prefix))

    async def aclose(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
