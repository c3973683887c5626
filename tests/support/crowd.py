"""Many clients that ask at once, and a machine that is busy or stops a process meanwhile."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from tests.support.outage import head_of

PATIENCE_S = 90.0
_BUSY_LOOP = """
import os, time
end = time.monotonic() + {limit_s}
while time.monotonic() < end and os.getppid() == {parent}:
    sum(range(100_000))
"""


@dataclass(frozen=True)
class Crowd:
    """The outcomes of the requests of a crowd."""

    statuses: Counter[int]
    remaining: Sequence[int]
    """The `x-ratelimit-remaining-requests` of each request that was admitted."""


async def crowd(port: int, wire: bytes, count: int) -> Crowd:
    """Send the request `count` times, each on a connection of its own; all are open before any asks."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in opened:
        writer.write(wire)
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(reader.read() for reader, _ in opened))
    for _, writer in opened:
        writer.close()
    heads = [answer.partition(b"\r\n\r\n")[0] for answer in answers]
    statuses = [head_of(head)[0] for head in heads]
    admitted = [head.decode("latin-1").lower() for head, status in zip(heads, statuses, strict=True) if status == 200]
    return Crowd(Counter(statuses), [_remaining(head) for head in admitted])


def _remaining(head: str) -> int:
    values = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("x-ratelimit-remaining-req")]
    return int(values[0]) if values else -1


@contextlib.contextmanager
def busy_cores(limit_s: float = 600.0) -> Iterator[None]:
    """Run a busy loop for every core; each ends with the block, with this process, or after `limit_s`."""
    code = _BUSY_LOOP.format(limit_s=limit_s, parent=os.getpid())
    loops = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.asynccontextmanager
async def stopped(pid: int, after_s: float, for_s: float) -> AsyncIterator[None]:
    """Stop a process `after_s` after the block began, for so long."""

    async def stop() -> None:
        await asyncio.sleep(after_s)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            os.kill(pid, signal.SIGCONT)

    stopping = asyncio.create_task(stop())
    try:
        yield
        await stopping
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
