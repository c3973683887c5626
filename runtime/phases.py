"""The phases of an engine: whether it may be sent requests, drains or sleeps; sleep, wake and drain.

Lives here: the order of the steps, and what is remembered of them.  Not here: the engine's own calls (engines), HTTP
(app).  A drain is told by /ready: Kubernetes takes the pod out of its Services, gateways send it nothing, and what runs
ends.  So the engine's own API is not closed: who asks it directly is still answered.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

from prometheus_client.parser import text_string_to_metric_families

from runtime.engines.engine import QUICK_S, Engine
from runtime.errors import Problem, not_offered

LOOK_S = 0.2
"""How often a drain looks whether the engine is idle, in seconds (chosen)."""

Phase = Literal["active", "draining", "sleeping"]


class Phases:
    """The phase of one engine; `clock` returns seconds that never go back."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._is_draining = False
        self._was_put_to_sleep = False  # counts only where the engine does not tell
        self._turn = asyncio.Lock()

    async def phase(self) -> Phase:
        """Return the phase, as the engine tells it where it does.  Raises Problem."""
        sleeps = await self._engine.is_sleeping()
        if self._was_put_to_sleep if sleeps is None else sleeps:
            return "sleeping"
        return "draining" if self._is_draining else "active"

    async def not_ready(self) -> str:
        """Return why the engine should get no requests now, in a sentence; empty = it should."""
        try:
            async with asyncio.timeout(QUICK_S):
                _, cards, phase = await asyncio.gather(self._engine.check(), self._engine.cards(), self.phase())
        except Problem as problem:
            return problem.message
        except TimeoutError:
            return f"the engine did not answer within {QUICK_S:g} s"
        if phase != "active":
            return f"the engine is {phase}; POST /v1/runtime/models/wake ends that"
        return "" if cards else "the engine has loaded no model yet"

    async def drain(self, limit_s: float) -> int:
        """Say that no requests are wanted, and wait until the engine has none; return how many are left at the limit.

        Raises Problem: 501 where the engine does not tell how many it has.
        """
        self._is_draining = True
        until_s = self._clock() + limit_s
        while left := await self._requests():
            if self._clock() >= until_s:
                return left
            await asyncio.sleep(LOOK_S)
        return 0

    async def sleep(self, level: int, drain_s: float) -> bool:
        """Drain, then put the engine to sleep; return False where it sleeps already.

        Raises Problem: 409 while requests run after `drain_s`, and then the engine stays awake and is wanted again.
        """
        async with self._turn:
            if await self.phase() == "sleeping":
                return False
            try:
                if left := await self.drain(drain_s):
                    message = f"the engine still has {left} requests after {drain_s:g} s; it stays awake"
                    raise Problem(HTTPStatus.CONFLICT, message)
                await self._engine.sleep(level)
                self._was_put_to_sleep = True
            finally:
                self._is_draining = False
            return True

    async def wake(self) -> bool:
        """End a sleep or a drain; return False where there was neither."""
        async with self._turn:
            phase = await self.phase()
            if phase == "sleeping":
                await self._engine.wake()
            self._is_draining = self._was_put_to_sleep = False
            return phase != "active"

    async def _requests(self) -> int:
        """Return how many requests run at the engine or wait there."""
        page = await self._engine.metrics_page()
        samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
        values = [one.value for one in samples if one.name in self._engine.load_families]
        if not values:
            raise not_offered("the engine does not tell how many requests it has, so that nobody knows when it is idle")
        return round(sum(values))
