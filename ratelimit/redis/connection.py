"""One connection to Redis: opening it with the scripts loaded, and reading its replies.

Lives here: redis-py's part (URLs, TLS, passwords), hiredis's part (the protocol).  Not here: which calls are sent when,
and what it means that there is no answer (batching).
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ratelimit.patience import Patience

Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name by which Redis remembers it.

    `repeatable`: a call that may have run may be sent again; what it counts twice is too much, never too little.
    """

    source: str
    sha: str
    repeatable: bool

    @classmethod
    def of(cls, source: str, *, repeatable: bool = True) -> "Script":
        """Return the script with its name."""
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), repeatable)


class Link(asyncio.Protocol):
    """A connection taken over from redis-py: replies go to `on_reply` as they arrive, without a task between."""

    def __init__(
        self,
        on_reply: Callable[[object], None],
        on_lost: Callable[["Link"], None],
        connection: AbstractConnection,
    ) -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._reader = hiredis.Reader()
        self._writer = _taken_from(connection)  # it closes its transport when nobody holds it
        self.write = self._writer.transport.write
        self.abort = self._writer.transport.abort
        self._writer.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Read replies; see asyncio.Protocol.  hiredis returns False when there is no whole reply yet."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Pass it on; see asyncio.Protocol."""
        self._on_lost(self)


class Connector:
    """Opens connections to the Redis at `url`, on which `scripts` are loaded."""

    def __init__(self, url: str, scripts: Sequence[Script]) -> None:
        # No retries: whoever calls counts the attempts.
        self._pool = ConnectionPool.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=None
        )
        self._loads = [pack("SCRIPT", "LOAD", script.source) for script in scripts]

    async def open(self, timeout_s: float) -> AbstractConnection:
        """Return a connection that has answered.

        Raises TimeoutError when that takes longer than `timeout_s`; RedisError and OSError when Redis is not there or
        refuses.
        """
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        async with Patience(timeout_s):
            try:
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
                await connection.send_packed_command(b"".join(self._loads), check_health=False)
                for _ in self._loads:
                    await connection.read_response()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        return connection


def _taken_from(connection: AbstractConnection) -> asyncio.StreamWriter:
    """Return the socket of an open connection and take it from it; redis-py has no public way to do so."""
    writer = connection._writer
    assert writer is not None  # noqa: S101 - connected
    connection._writer = connection._reader = None
    return writer


def pack(*words: Argument) -> bytes:
    """Return a command as it goes over the wire.  Raises ValueError for what cannot be encoded."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub says a tuple of one
    return packed
