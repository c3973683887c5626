"""The limiter by itself: CPU per reserve and settle, of the gateway's side and of Redis, beside two plain `evalsha`.

Lives here: the variants, the turns, the medians.  Not here: a gateway around it (variants, measure).
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
from ratelimit.limits import Admitted, Amounts, Charge, User
from ratelimit.redis.batching import Argument, Script
from ratelimit.redis.limiter import RedisLimiter, user_key, window_key
from ratelimit.redis.scripts import RESERVE, SETTLE

COALESCED, APART, PLAIN = "Forebay", "Forebay, not coalesced", "two plain evalsha"
AT_ONCE = (1, 32)
USER = "bench"
TURN_S = 1.0

Pair = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LimiterSample:
    """One turn: microseconds per reserve and settle."""

    variant: str
    at_once: int
    cpu_us: float
    redis_cpu_us: float


class Apart:
    """Calls as a `BatchedCalls` takes them, each sent by itself through redis-py."""

    up = True

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """One round trip."""
        return self._redis.evalsha(script.sha, len(keys), *keys, *arguments)


def pair_of(limiter: RedisLimiter) -> Pair:
    """A reserve and its settlement."""

    async def pair() -> None:
        verdict = await limiter.reserve(Charge(USER, Amounts(1, 50), "m"))
        assert isinstance(verdict, Admitted)  # noqa: S101 - the figures would be those of refusals
        await limiter.settle(verdict.reservation, Amounts(1, 40))

    return pair


def plain(redis: "Redis") -> Pair:
    """The same two scripts with fixed arguments; nothing is made of the replies."""
    keys = (user_key(USER), window_key(USER))

    async def pair() -> None:
        reply: Any = await redis.evalsha(RESERVE.sha, 2, *keys, "", "m", "@bench", 1, "", 1, 50)
        await redis.evalsha(SETTLE.sha, 1, keys[1], reply[4], "tokens", -10)

    return pair


async def turn(pair: Pair, at_once: int, seconds: float) -> int:
    """How many pairs were made by so many at once."""
    end_s = time.monotonic() + seconds

    async def again() -> int:
        count = 0
        while time.monotonic() < end_s:
            await pair()
            count += 1
        return count

    return sum(await asyncio.gather(*(again() for _ in range(at_once))))


async def measure_limiter(directory: Path, rounds: int, progress: Callable[[str], None]) -> list[LimiterSample]:
    """Every sample; each round goes through all variants, every other one backwards."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    async with AsyncExitStack() as stack:
        pid = stack.enter_context(running(f"limiter-{REDIS}", redis_argv(port), port, directory))
        users = UserStore(url, timeout_s=5.0)
        stack.push_async_callback(users.aclose)
        await users.create(User(USER, 10**9, 10**12))
        redis = Redis.from_url(url, protocol=2)
        stack.push_async_callback(redis.aclose)
        coalesced, apart = RedisLimiter(url, 5.0), RedisLimiter(url, 5.0)
        stack.push_async_callback(coalesced.aclose)
        apart._calls = Apart(redis)  # type: ignore[assignment]  # the bench's own way to send them
        pairs = {COALESCED: pair_of(coalesced), APART: pair_of(apart), PLAIN: plain(redis)}
        for pair in pairs.values():  # the first loads the scripts for all
            await turn(pair, AT_ONCE[-1], TURN_S / 4)
        samples = []
        for number in range(rounds):
            progress(f"round {number + 1}/{rounds}: limiter")
            for name in pairs if number % 2 == 0 else reversed(pairs):
                for at_once in AT_ONCE:
                    used, redis_used = time.process_time(), cpu_seconds(pid)
                    count = await turn(pairs[name], at_once, TURN_S)
                    used, redis_used = time.process_time() - used, cpu_seconds(pid) - redis_used
                    samples.append(LimiterSample(name, at_once, used * 1e6 / count, redis_used * 1e6 / count))
        return samples


class LimiterFigures:
    """Medians over rounds."""

    def __init__(self, samples: Sequence[LimiterSample]) -> None:
        self._samples = samples

    def cpu_us(self, variant: str, at_once: int) -> float | None:
        """Return the CPU time of the gateway's side."""
        return self._median(variant, at_once, lambda sample: sample.cpu_us)

    def redis_cpu_us(self, variant: str, at_once: int) -> float | None:
        """Return the CPU time of Redis."""
        return self._median(variant, at_once, lambda sample: sample.redis_cpu_us)

    def ratio(self) -> float | None:
        """Return our CPU time over that of two plain calls, many at once: the figure that has a target."""
        ours, theirs = (self.cpu_us(variant, AT_ONCE[-1]) for variant in (COALESCED, PLAIN))
        return None if ours is None or theirs is None else ours / theirs

    def rows(self) -> Iterator[tuple[str, ...]]:
        """By variant: both sides' microseconds at each number at once."""
        for variant in dict.fromkeys(sample.variant for sample in self._samples):
            figures = (figure(variant, at_once) for at_once in AT_ONCE for figure in (self.cpu_us, self.redis_cpu_us))
            yield (variant, *("-" if value is None else f"{value:.1f}" for value in figures))

    def _median(self, variant: str, at_once: int, figure: Callable[[LimiterSample], float]) -> float | None:
        values = [figure(each) for each in self._samples if each.variant == variant and each.at_once == at_once]
        return median(values) if values else None
