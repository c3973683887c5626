"""Redis's part of wakes, in memory and by the loop's clock, for one model; `away` like Redis."""

import asyncio
from collections.abc import AsyncGenerator, Collection

from traffic.connection import RedisAwayError
from traffic.wakes import WAKE_S, Wakes


class MemoryWakes(Wakes):
    """Remembers when the model was told, and what was promised."""

    def __init__(self) -> None:
        self.told_s: list[float] = []
        self.promises: set[str] = set()
        self.away = False
        self._heard: asyncio.Queue[str] = asyncio.Queue()

    async def publish(self, model: str) -> None:
        self._reach()
        self.told_s.append(asyncio.get_running_loop().time())
        self._heard.put_nowait(model)

    async def waiting(self, models: Collection[str]) -> frozenset[str]:
        self._reach()
        now_s = asyncio.get_running_loop().time()
        return frozenset(models if self.told_s and now_s - self.told_s[-1] < WAKE_S else ())

    async def promise(self, models: Collection[str]) -> None:
        self._reach()
        self.promises |= set(models)

    async def listen(self) -> AsyncGenerator[str, None]:
        while True:
            yield await self._heard.get()

    def _reach(self) -> None:
        if self.away:
            raise RedisAwayError("away")
