"""The connection to the Redis in which gateways and planners keep what they tell each other.

Lives here: connecting, and the time that a block of calls may take.  Not here: keys and their formats (the stores).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

CLOCK = "forebay:{traffic}:clock"
"""Nothing is stored under this key: of a cluster's clocks, that of its node counts."""


class RedisAwayError(Exception):
    """Redis did not answer in time, or refused; a write may or may not have happened."""


class Connection:
    """Calls to the server or cluster at `url`.  Nothing is connected before the first call."""

    def __init__(self, url: str, timeout_s: float, *, cluster: bool = False) -> None:
        options: dict[str, Any] = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": None}
        if cluster:
            self._redis: Any = RedisCluster.from_url(url, **options)
        else:
            self._redis = Redis.from_url(url, **options, retry=Retry(NoBackoff(), 0))
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

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
