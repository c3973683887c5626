"""Waiting for something to become true: in plain threads, or for turns of the event loop."""

import asyncio
import time
from collections.abc import Callable


def until(condition: Callable[[], object], *, limit_s: float = 10.0, every_s: float = 0.02) -> None:
    """Return once `condition` holds; AssertionError after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(every_s)


async def turns(number: int) -> None:
    """Let the event loop turn so often."""
    for _ in range(number):
        await asyncio.sleep(0)
