"""A limiter with its fallback on a real Redis, which a test kills and starts again.

Lives here: the same handles for all tests of the fallback.  Not here: what it must do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ratelimit.fallback import LocalFallback, WhenAway
from ratelimit.limits import LimiterUnavailableError
from tests.support.limiters import a_redis_limiter
from tests.support.polling import until
from tests.support.redis import RedisServer


@asynccontextmanager
async def a_fallback(
    server: RedisServer, when_away: WhenAway = "local", timeout_s: float = 5.0
) -> AsyncIterator[LocalFallback]:
    async with a_redis_limiter(server, timeout_s=timeout_s) as primary:
        limiter = LocalFallback(primary, when_away)
        try:
            yield limiter
        finally:
            await limiter.aclose()


async def leave(server: RedisServer, limiter: LocalFallback) -> None:
    """Kill Redis and let the limiter find out by a call of a user nobody knows."""
    server.kill()
    with pytest.raises(LimiterUnavailableError):
        await limiter.usage("nobody")
    assert not limiter.up


async def come_back(server: RedisServer, limiter: LocalFallback) -> None:
    server.start()
    await until(lambda: limiter.up)
