"""The limiter by itself: CPU of the gateway and of Redis per reserve and settle, beside two plain `evalsha`.

Lives here: the variants, the runs, the medians.  Not here: the whole gateway (variants, measure).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from redis.asyncio import Redis

from bench.processes import cpu_seconds, free_port, running
from bench.variants import REDIS, redis_argv
from ratelimit.accounts.users import UserStore
from ratelimit.kinds import Amounts
from ratelimit.limits import Admitted, Charge, User
from ratelimit.redis.connection import Argument, Script
from ratelimit.redis.limiter import RedisLimiter
from ratelimit.redis.names import user_key, window_key
from ratelimit.redis.scripts import RESERVE, SETTLE

COALESCED, SEPARATE, PLAIN = "Forebay", "Forebay, not coalesced", "two plain evalsha"
CONCURRENCY = (1, 32)
"""Numbers of concurrent pairs that are measured."""
USER = "bench"
RUN_S = 1.0
"""Length of one run, in seconds (chosen)."""

Pair = Callable[[], Awaitable[None]]
"""Makes one reservation and settles it."""


@dataclass(frozen=True, slots=True)
class LimiterSample:
    """One run: CPU microseconds per reserve and settle."""

    variant: str
    concurrency: int
    cpu_us: float
    redis_cpu_us: float


class SeparateCalls:
    """Takes calls as a `BatchedCalls` does and sends each by itself through redis-py."""

    up = True

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Make one round trip."""
        return self._redis.evalsha(script.sha, len(keys), *keys, *arguments)


def pair_of(limiter: RedisLimiter) -> Pair:
    """Return a pair through the limiter."""

    async def pair() -> None:
        verdict = await limiter.reserve(Charge(USER, Amounts(1, 50), "m"))
        assert isinstance(verdict, Admitted)  # noqa: S101 - or the figures would be those of refusals
        await limiter.settle(verdict.reservation, Amounts(1, 40))

    return pair


def plain_pair(redis: "Redis") -> Pair:
    """Return a pair that calls the two scripts with fixed arguments and does not parse the replies."""
    keys = (user_key(USER), window_key(USER))

    async def pair() -> None:
        reply: Any = await redis.evalsha(RESERVE.sha, 2, *keys, "", "m", "@bench", 1, "", 1, 50, 1, 50)
        await redis.evalsha(SETTLE.sha, 1, keys[1], reply[4], 1, "", 0, -10, 0)

    return pair


async def count_pairs(pair: Pair, concurrency: int, seconds: float) -> int:
    """Repeat the pair in `concurrency` tasks for so long; return how often it was made."""
    end_s = time.monotonic() + seconds

    async def repeat() -> int:
        count = 0
        while time.monotonic() < end_s:
            await pair()
            count += 1
        return count

    return sum(await asyncio.gather(*(repeat() for _ in range(concurrency))))


async def measure_limiter(directory: Path, rounds: int, progress: Callable[[str], None]) -> list[LimiterSample]:
    """Return all samples.  A round goes through all variants, every other round in reverse order."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    async with AsyncExitStack() as stack:
        pid = stack.enter_context(running(f"limiter-{REDIS}", redis_argv(port), port, directory))
        users = UserStore(url, timeout_s=5.0)
        stack.push_async_callback(users.aclose)
        await users.create(User(USER, 10**9, 10**12))
        redis = Redis.from_url(url, protocol=2)
        stack.push_async_callback(redis.aclose)
        coalesced, separate = RedisLimiter(url, 5.0), RedisLimiter(url, 5.0)
        stack.push_async_callback(coalesced.aclose)
        separate._calls = SeparateCalls(redis)  # type: ignore[assignment]  # the benchmark's own way to send them
        pairs = {COALESCED: pair_of(coalesced), SEPARATE: pair_of(separate), PLAIN: plain_pair(redis)}
        for pair in pairs.values():  # the first one loads the scripts for all
            await count_pairs(pair, CONCURRENCY[-1], RUN_S / 4)
        samples = []
        for number in range(rounds):
            progress(f"round {number + 1}/{rounds}: limiter")
            for name in pairs if number % 2 == 0 else reversed(pairs):
                for concurrency in CONCURRENCY:
                    used, redis_used = time.process_time(), cpu_seconds(pid)
                    count = await count_pairs(pairs[name], concurrency, RUN_S)
                    used, redis_used = time.process_time() - used, cpu_seconds(pid) - redis_used
                    samples.append(LimiterSample(name, concurrency, used * 1e6 / count, redis_used * 1e6 / count))
        return samples


class LimiterFigures:
    """Medians over rounds."""

    def __init__(self, samples: Sequence[LimiterSample]) -> None:
        self._samples = samples

    def cpu_us(self, variant: str, concurrency: int) -> float | None:
        """Return the CPU microseconds of the gateway's side per pair; None = not measured."""
        return self._median(variant, concurrency, lambda sample: sample.cpu_us)

    def redis_cpu_us(self, variant: str, concurrency: int) -> float | None:
        """Return the CPU microseconds of Redis per pair; None = not measured."""
        return self._median(variant, concurrency, lambda sample: sample.redis_cpu_us)

    def ratio(self) -> float | None:
        """Return the ratio with a target: the gateway's side over two plain calls, at the highest concurrency."""
        ours, theirs = (self.cpu_us(variant, CONCURRENCY[-1]) for variant in (COALESCED, PLAIN))
        return None if ours is None or theirs is None else ours / theirs

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield per variant the microseconds of both sides at each concurrency."""
        for variant in dict.fromkeys(sample.variant for sample in self._samples):
            figures = (
                figure(variant, concurrency)
                for concurrency in CONCURRENCY
                for figure in (self.cpu_us, self.redis_cpu_us)
            )
            yield (variant, *("-" if value is None else f"{value:.1f}" for value in figures))

    def _median(self, variant: str, concurrency: int, figure: Callable[[LimiterSample], float]) -> float | None:
        values = [figure(each) for each in self._samples if each.variant == variant and each.concurrency == concurrency]
        return median(values) if values else None
