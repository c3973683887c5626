"""The connection to the Redis in which gateways and planners keep what they tell each other.

Lives here: connecting, and the time that a block of calls may take.  Not here: keys and their formats (the stores).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

CLOCK = "forebay:{traffic}:clock"
"""Nothing is stored under this key: of a cluster's clocks, that of its node counts."""
SILENCE_S = 5.0
"""Seconds without a message after which the server is asked whether it is still there (chosen)."""


class RedisAwayError(Exception):
    """Redis did not answer in time, or refused; a write may or may not have happened."""


class Connection:
    """Calls to the server or cluster at `url`.  Nothing is connected before the first call."""

    def __init__(self, url: str, timeout_s: float, *, cluster: bool = False) -> None:
        options: dict[str, Any] = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": None}
        self._subscriber = Redis.from_url(url, **options, retry=Retry(NoBackoff(), 0))
        self._redis: Any = RedisCluster.from_url(url, **options) if cluster else self._subscriber
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def calls(self, timeouts: int = 1) -> AsyncIterator[Any]:
        """Yield the client, whose commands a server and a cluster share, for `timeouts` times `timeout_s`.

        Raises RedisAwayError.
        """
        try:
            async with asyncio.timeout(self._timeout_s * timeouts):
                yield self._redis
        except (RedisError, RedisClusterException, OSError) as error:  # TimeoutError is an OSError
            raise RedisAwayError(str(error) or "no answer in time") from error

    async def now_s(self) -> float:
        """Return the Unix time by Redis's clock, which all gateways and planners share.  Raises RedisAwayError."""
        async with self.calls() as redis:
            seconds, microseconds = await redis.eval("return redis.call('TIME')", 1, CLOCK)
        return int(seconds) + int(microseconds) / 1e6

    def channel(self, name: str) -> str:
        """Return the name of a channel of ours.  Channels know no databases, so that of another than 0 is in it."""
        database = self._subscriber.connection_pool.connection_kwargs.get("db") or 0
        return f"forebay:{database}:{name}" if database else f"forebay:{name}"

    async def messages(self, channel: str) -> AsyncGenerator[bytes, None]:
        """Yield what is published on the channel.  Raises RedisAwayError when that can no longer be heard.

        In a cluster every node passes on what is published at any of them, so that of the URL is listened to.
        """
        try:
            async with self._subscriber.pubsub() as pubsub:
                async with asyncio.timeout(self._timeout_s):
                    await pubsub.subscribe(channel)
                while True:
                    found = await _next(pubsub, SILENCE_S)
                    if found is None:  # nothing was said: is anybody there?
                        async with asyncio.timeout(self._timeout_s):
                            await pubsub.ping()
                        found = await _next(pubsub, self._timeout_s)
                    if found is None:
                        raise RedisAwayError("no answer in time")
                    if found["type"] == "message":
                        yield found["data"]
        except (RedisError, OSError) as error:
            raise RedisAwayError(str(error) or "no answer in time") from error

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
        await self._subscriber.aclose()


async def _next(pubsub: PubSub, limit_s: float) -> Any:
    """Return the next message, of whatever type; None when there is none for so long."""
    found = await pubsub.get_message(timeout=limit_s)
    if (task := asyncio.current_task()) is not None and task.cancelling():
        raise asyncio.CancelledError  # redis-py may have taken it for the end of a time limit of its own
    return found
