"""Decides when each endpoint is asked next, and what several results in a row mean.

Lives here: decisions, with the time passed in.  Not here: asking and waiting (rounds).
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from routing.types import Endpoint, PodId

JITTER = 0.1
"""Share of the interval that is added or taken away at random; chosen: replicas drift apart within a few rounds."""


@dataclass(slots=True, eq=False)
class Target:
    """One endpoint that is asked."""

    pod: PodId
    address: str
    failures: int = 0  # in a row
    is_asked: bool = False
    due_s: float = 0.0


class Schedule:
    """A heap of due times; each question costs O(log endpoints)."""

    def __init__(self, interval_s: float, rng: Random, *, failures: int = 1, doublings: int = 0) -> None:
        """`failures` in a row make an endpoint unhealthy; each doubles its interval, at most `doublings` times."""
        self._interval_s = interval_s
        self._rng = rng
        self._failures = failures
        self._doublings = doublings
        self._stretch = 1
        self._targets: dict[PodId, Target] = {}
        self._due: list[tuple[float, int, Target]] = []
        self._pushed = 0  # orders entries with equal due times: first in, first out

    def replace(self, endpoints: Iterable[Endpoint], now_s: float) -> None:
        """Ask exactly these endpoints from now on; one that is new, or has another address, is due at once."""
        before = self._targets
        self._targets = {}
        for endpoint in endpoints:
            target = before.get(endpoint.id)
            if target is None or target.address != endpoint.address:
                target = Target(endpoint.id, endpoint.address)
                self._push(target, now_s)
            self._targets[endpoint.id] = target

    def due(self, now_s: float) -> list[Target]:
        """Return the endpoints that are due, and set the next time of each.

        An endpoint that has not answered the last question yet is left out, so that one that hangs has one open
        question and never more.
        """
        found: list[Target] = []
        while self._due and self._due[0][0] <= now_s:
            due_s, _, target = heapq.heappop(self._due)
            if not self._is_current(target) or due_s != target.due_s:
                continue
            self._push(target, now_s + self._interval(target) * self._rng.uniform(1 - JITTER, 1 + JITTER))
            if not target.is_asked:
                target.is_asked = True
                found.append(target)
        return found

    def stretch(self, times: int, now_s: float) -> None:
        """Make intervals so many times as long.  If they were longer, the next questions are spread over the new ones.

        O(endpoints) then, else O(1).
        """
        were_longer = self._stretch > times
        self._stretch = times
        for target in self._targets.values() if were_longer else ():
            due_s = now_s + self._interval(target) * self._rng.random()
            if due_s < target.due_s:
                self._push(target, due_s)

    def wait_s(self, now_s: float) -> float | None:
        """Return how long it is until an endpoint is due, None when there is none."""
        return max(0.0, self._due[0][0] - now_s) if self._due else None

    def checked(self, target: Target, healthy: bool) -> bool | None:
        """Take a result; return the endpoint's health, None while it is undecided or when the endpoint is gone."""
        target.is_asked = False
        target.failures = 0 if healthy else target.failures + 1
        if not self._is_current(target):
            return None
        if healthy:
            return True
        return False if target.failures >= self._failures else None

    def _interval(self, target: Target) -> float:
        return self._interval_s * self._stretch * 2.0 ** min(target.failures, self._doublings)

    def _is_current(self, target: Target) -> bool:
        return self._targets.get(target.pod) is target

    def _push(self, target: Target, due_s: float) -> None:
        self._pushed += 1
        target.due_s = due_s
        heapq.heappush(self._due, (due_s, self._pushed, target))
