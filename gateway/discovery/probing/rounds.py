"""Asks every endpoint the same question again and again: one loop, and one short task for each question.

Lives here: asking, with bounds on time and on questions at once.  Not here: when each endpoint is due (schedule), what
is asked (health, scraping).
"""

import asyncio
from collections.abc import Iterable
from math import inf

from gateway.discovery.probing.schedule import Schedule, Target
from ratelimit.patience import Patience
from routing.types import Endpoint

CONCURRENCY = 256
"""Questions at once.  Chosen: so many engines can hang, each until the timeout, before others are asked late."""

GRAIN_S = 0.01
"""Seconds for which the loop of questions sleeps at least.  Timers of uvloop count in whole milliseconds, so that a
sleep until the exact moment took six wakes for each question, a fifth of its CPU.  Chosen: far below any interval."""


class Rounds:
    """Asks the endpoints that it was given last, until cancelled.  `name` begins the names of its tasks."""

    look_s = inf
    """Seconds after which `look` is called again at the latest."""

    def __init__(self, schedule: Schedule, timeout_s: float, name: str) -> None:
        self._schedule = schedule
        self._timeout_s = timeout_s
        self._name = name
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._replaced = asyncio.Event()

    async def ask(self, target: Target) -> None:
        """Ask one endpoint; whatever this raises is the reason why the question failed."""
        raise NotImplementedError

    def conclude(self, target: Target, healthy: bool | None, why: str) -> None:
        """Take the result of a question; `why` is the reason if it failed.

        `healthy` is the health that the schedule concludes, None while it is undecided or when the endpoint is gone.
        """

    def look(self, now_s: float) -> None:
        """Decide how often endpoints are asked, each time before those that are due are asked."""

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Ask exactly these endpoints from now on, new ones at once."""
        self._schedule.replace(endpoints, asyncio.get_running_loop().time())
        self._replaced.set()

    async def run(self) -> None:
        """Ask each endpoint whenever it is due, until cancelled."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as questions:
            while True:
                self._replaced.clear()
                self.look(clock())
                for target in self._schedule.due(clock()):
                    await self._slots.acquire()
                    questions.create_task(self._question(target), name=f"{self._name} {target.pod}")
                    await asyncio.sleep(0)  # requests get to run between two of many questions
                await self._wait(self._schedule.wait_s(clock()))

    async def _wait(self, timeout_s: float | None) -> None:
        """Sleep until an endpoint is due or a look, GRAIN_S at least, or until the endpoints are replaced."""
        if timeout_s is not None:
            timeout_s = max(GRAIN_S, min(timeout_s, self.look_s))
        try:
            async with asyncio.timeout(timeout_s):
                await self._replaced.wait()
        except TimeoutError:
            return

    async def _question(self, target: Target) -> None:
        why = ""
        try:
            async with Patience(self._timeout_s):  # a worker that did not get to run says nothing about an engine
                await self.ask(target)
        except Exception as error:  # noqa: BLE001  supervision point: any error means that the question failed
            why = f"{type(error).__name__} {error}".strip()
        finally:
            self._slots.release()
        self.conclude(target, self._schedule.checked(target, healthy=not why), why)
