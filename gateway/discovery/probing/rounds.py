"""Asking every endpoint something again and again: one scheduler, and one short task per question.

Lives here: doing it, bounded in time and number.  Not here: when each is due (schedule), what is asked (health,
scrape).
"""

import asyncio
from collections.abc import Iterable

from gateway.discovery.probing.schedule import Schedule, Target
from routing.types import Endpoint

CONCURRENCY = 256
"""Chosen: so many engines may hang at once, each for the timeout, before the others' turns come late."""


class Rounds:
    """Asks the endpoints it was given last, until cancelled; `name` is what it does, in names of tasks."""

    def __init__(self, schedule: Schedule, timeout_s: float, name: str) -> None:
        self._schedule = schedule
        self._timeout_s = timeout_s
        self._name = name
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._replaced = asyncio.Event()

    async def ask(self, target: Target) -> None:
        """Ask one; whatever it raises is why it failed."""
        raise NotImplementedError

    def conclude(self, target: Target, healthy: bool | None, why: str) -> None:
        """An answer came, or `why` it did not; `healthy` is what the schedule makes of it, None = undecided or gone."""

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Ask exactly these from now on; new ones at once."""
        self._schedule.replace(endpoints, asyncio.get_running_loop().time())
        self._replaced.set()

    async def run(self) -> None:
        """Run forever."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as questions:
            while True:
                self._replaced.clear()
                for target in self._schedule.due(clock()):
                    await self._slots.acquire()
                    questions.create_task(self._turn(target), name=f"{self._name} {target.pod}")
                await self._wait(self._schedule.wait_s(clock()))

    async def _wait(self, timeout_s: float | None) -> None:
        """Sleep until something is due or the endpoints are replaced."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._replaced.wait()
        except TimeoutError:
            return

    async def _turn(self, target: Target) -> None:
        why = ""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.ask(target)
        except Exception as error:  # noqa: BLE001  supervision point: a question that fails in any way is one that failed
            why = f"{type(error).__name__} {error}".strip()
        finally:
            self._slots.release()
        self.conclude(target, self._schedule.checked(target, healthy=not why), why)
