"""Waiting for something to become true, with a deadline that only a failure meets."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

DEADLINE_S = 30.0


async def until(condition: Callable[[], bool | Awaitable[bool]], every_s: float = 0.02) -> None:
    """Return once `condition` holds; TimeoutError after DEADLINE_S."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(every_s)
