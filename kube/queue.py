"""Keys of objects that wait to be looked at: each once, never by two workers at a time, later after each failure.

Lives here: the order of keys, their waits, and the loop of a worker.  Not here: what is done with a key (controllers),
where keys come from (informer).  After the work queue of client-go: a key that is added while it is being worked on is
worked on once more afterwards.
"""

import asyncio
import contextlib
import heapq
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import structlog

from kube.backoff import Backoff
from kube.errors import ApiError
from kube.objects import Key

RETRIES = Backoff(first_s=0.05, cap_s=300.0)
"""Chosen: a conflict is over in milliseconds, and what is wrong for good costs an attempt per 5 minutes."""

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Makes the world as it should be for a key; returns after how many seconds to look again, or None."""

log = structlog.get_logger(__name__)


class Schedule:
    """The keys and when each is due: the queue without waiting.  Times are seconds of one clock."""

    def __init__(self) -> None:
        self._due_s: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []  # what `_due_s` says, and entries that it says no longer
        self._working: dict[Key, float] = {}  # -> when it is due again, infinite when it is not

    def __len__(self) -> int:
        return len(self._due_s)

    def add(self, key: Key, due_s: float) -> None:
        """Have the key worked on at `due_s`, or sooner where it was to be sooner; never while it is being worked on."""
        if key in self._working:
            self._working[key] = min(self._working[key], due_s)
        elif due_s < self._due_s.get(key, math.inf):
            self._due_s[key] = due_s
            heapq.heappush(self._heap, (due_s, key))

    def take(self, now_s: float) -> Key | None:
        """Return the key that has been due for longest, for a worker; None when none is due."""
        due_s = self.next_s()
        if due_s is None or due_s > now_s:
            return None
        key = heapq.heappop(self._heap)[1]
        del self._due_s[key]
        self._working[key] = math.inf
        return key

    def done(self, key: Key) -> None:
        """Take the key back from its worker."""
        self.add(key, self._working.pop(key))

    def next_s(self) -> float | None:
        """Return when the next key is due; None when there is none."""
        while self._heap and self._due_s.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None


@dataclass(slots=True)
class Attempts:
    """The attempts of all workers so far, by how they ended."""

    done: int = 0
    failed: int = 0


class WorkQueue:
    """Keys for a number of workers."""

    def __init__(self, clock: Callable[[], float], rng: Random, retries: Backoff = RETRIES) -> None:
        self._clock = clock
        self._rng = rng
        self._retries = retries
        self._schedule = Schedule()
        self.failing: dict[Key, int] = {}
        """The keys whose last attempt failed, and how many did in a row."""
        self._wake = asyncio.Event()
        self.attempts = Attempts()

    def __len__(self) -> int:
        """Return how many keys wait, those that failed and are tried again later among them."""
        return len(self._schedule)

    def add(self, key: Key, after_s: float = 0.0) -> None:
        """Have the key worked on, after a while."""
        self._schedule.add(key, self._clock() + after_s)
        self._wake.set()

    def clear(self) -> None:
        """Let go of all keys and their failures, when nobody works on them any more; what was counted stays."""
        self._schedule = Schedule()
        self.failing.clear()

    async def work(self, reconcile: Reconcile) -> None:
        """Work on keys one after the other, for ever; run it several times to work on several at once.

        A key whose reconcile raises is tried again, each time later; one failure more is no failure of the worker.
        """
        while True:
            key = await self._next()
            try:
                await self._work_on(key, reconcile)
            finally:
                self._schedule.done(key)
                self._wake.set()

    async def _next(self) -> Key:
        while True:
            self._wake.clear()
            now_s = self._clock()
            if (key := self._schedule.take(now_s)) is not None:
                self._wake.set()  # another worker may find another key
                return key
            next_s = self._schedule.next_s()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if next_s is None else next_s - now_s):
                    await self._wake.wait()

    async def _work_on(self, key: Key, reconcile: Reconcile) -> None:
        try:
            again_s = await reconcile(key)
        except Exception as error:  # noqa: BLE001  supervision point: whatever is wrong with one key, others go on
            self._retry(key, error)
            return
        self.attempts.done += 1
        self.failing.pop(key, None)
        if again_s is not None:
            self.add(key, again_s)

    def _retry(self, key: Key, error: Exception) -> None:
        self.attempts.failed += 1
        failures = self.failing[key] = self.failing.get(key, 0) + 1
        wait_s = self._retries.wait_s(failures, self._rng)
        if isinstance(error, ApiError):
            wait_s = max(wait_s, error.retry_after_s)
            log.warning("kube_reconcile_failed", key=key, failures=failures, why=str(error), again_s=round(wait_s, 3))
        else:
            log.error("kube_reconcile_raised", key=key, failures=failures, again_s=round(wait_s, 3), exc_info=error)
        self.add(key, wait_s)
