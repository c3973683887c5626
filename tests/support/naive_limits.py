"""Limiters as they are often built, kept as the counterexample: each lets more through than its limit says."""

import math
from collections.abc import Callable

from redis.asyncio import Redis


class FixedWindow:
    """Counts in the current minute of the clock: exact inside it, and twice the limit around its edge."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._redis = Redis.from_url(url, protocol=2, max_connections=1000)
        self._clock = clock

    async def admits(self, user: str, tokens: int, rpm: int, tpm: int) -> bool:
        """Count and compare; what is refused stays counted."""
        minute = math.floor(self._clock() / 60)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(f"fixed:{user}:requests:{minute}")
            pipe.incrby(f"fixed:{user}:tokens:{minute}", tokens)
            requests_used, tokens_used = await pipe.execute()
        return bool(requests_used <= rpm and tokens_used <= tpm)

    async def aclose(self) -> None:
        await self._redis.aclose()


class CheckThenIncrement:
    """Looks at the counters, lets the request go and counts it afterwards: everything in flight gets past."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._redis = Redis.from_url(url, protocol=2, max_connections=1000)
        self._clock = clock

    async def admits(self, user: str, tokens: int, rpm: int, tpm: int) -> bool:
        """Compare and then count."""
        minute = math.floor(self._clock() / 60)
        requests_key, tokens_key = (f"checked:{user}:{kind}:{minute}" for kind in ("requests", "tokens"))
        requests_used, tokens_used = await self._redis.mget(requests_key, tokens_key)
        if int(requests_used or 0) >= rpm or int(tokens_used or 0) >= tpm:
            return False
        await self._redis.incr(requests_key)
        await self._redis.incrby(tokens_key, tokens)
        return True

    async def aclose(self) -> None:
        await self._redis.aclose()
