"""Waiting for something to become true, with a deadline that only a failure meets."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

DEADLINE_S = 60.0


async def until(
    condition: Callable[[], bool | Awaitable[bool]], every_s: float = 0.02, *, deadline_s: float = DEADLINE_S
) -> None:
    """Return once `condition` holds; TimeoutError after `deadline_s`."""
    async with asyncio.timeout(deadline_s):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(every_s)
