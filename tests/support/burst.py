"""A burst of charges from several processes at once, each with a limiter of its own as a gateway worker has.

`python -m tests.support.burst KIND URL COUNT TOKENS` is one of them: for each line on standard input it makes COUNT
charges at once and prints how many were admitted.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from ratelimit.fallback import LocalFallback
from ratelimit.limits import Admitted, User
from ratelimit.redis.limiter import RedisLimiter
from tests.support.limiters import a_charge, put_user
from tests.support.naive_limits import CheckThenIncrement, FixedWindow
from tests.support.redis import RedisServer

USER, RPM, TPM = "lgy", 100, 10_000
SLIDING, FIXED, CHECKED = "sliding", "fixed", "checked"
Admits = Callable[[int], Awaitable[bool]]


@asynccontextmanager
async def a_kind(kind: str, url: str, clock: Callable[[], float] | None = None) -> AsyncIterator[Admits]:
    """Whether a charge of so many tokens of USER is admitted; `clock` as in RedisLimiter."""
    if kind == SLIDING:
        primary = RedisLimiter(url, 30.0, clock)
        limiter = LocalFallback(primary, "deny")
        running = asyncio.create_task(primary.run())

        async def admits(tokens: int) -> bool:
            return isinstance(await limiter.reserve(a_charge(USER, tokens)), Admitted)

        yield admits
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await limiter.aclose()
        await primary.aclose()
    else:
        naive = {FIXED: FixedWindow, CHECKED: CheckThenIncrement}[kind](url, clock or time.time)
        yield lambda tokens: naive.admits(USER, tokens, RPM, TPM)
        await naive.aclose()


async def admitted(admits: Admits, count: int, tokens: int) -> int:
    return sum(await asyncio.gather(*(admits(tokens) for _ in range(count))))


class Bursts:
    """Processes that stand ready."""

    def __init__(self, server: RedisServer, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._server = server
        self._processes = processes

    async def round(self) -> int:
        """From an empty Redis: how many all together were let through."""
        self._server.flush()
        put_user(self._server, User(USER, RPM, TPM))
        for process in self._processes:
            process.stdin.write(b"go\n")
        return sum([int(await process.stdout.readline()) for process in self._processes])


@asynccontextmanager
async def bursts(
    server: RedisServer, kind: str, tokens: int, requests: int = 1000, workers: int = 4
) -> AsyncIterator[Bursts]:
    """`requests` charges of `tokens` each, shared out among `workers` processes."""
    command = (sys.executable, "-m", "tests.support.burst", kind, server.url, str(requests // workers), str(tokens))
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(4):
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            stack.push_async_callback(process.wait)
            stack.callback(process.stdin.close)
            processes.append(process)
        yield Bursts(server, processes)


async def main(kind: str, url: str, count: int, tokens: int) -> None:
    async with a_kind(kind, url) as admits:
        while await asyncio.to_thread(sys.stdin.readline):
            sys.stdout.write(f"{await admitted(admits, count, tokens)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
