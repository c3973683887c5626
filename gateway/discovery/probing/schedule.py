"""When each endpoint is checked next, and what a row of results means.

Lives here: decisions, with the time passed in.  Not here: the checks themselves and the waiting (health).
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from routing.types import Endpoint, PodId

JITTER = 0.1  # of the interval, both ways; chosen: replicas and endpoints drift apart within a few rounds


@dataclass(slots=True, eq=False)
class Target:
    """One endpoint under check."""

    pod: PodId
    address: str
    failures: int = 0  # in a row
    checking: bool = False


class Schedule:
    """A heap of due times: O(log endpoints) per check, however many endpoints there are."""

    def __init__(self, interval_s: float, rng: Random, *, failures: int = 1, doublings: int = 0) -> None:
        """After `failures` in a row an endpoint is not healthy; after each its interval doubles, so often at most."""
        self._interval_s = interval_s
        self._rng = rng
        self._failures = failures
        self._doublings = doublings
        self._targets: dict[PodId, Target] = {}
        self._due: list[tuple[float, int, Target]] = []
        self._pushed = 0  # orders equal times, first come first served

    def replace(self, endpoints: Iterable[Endpoint], now_s: float) -> None:
        """Check exactly these from now on; what is new, or has moved, is due at once."""
        before = self._targets
        self._targets = {}
        for endpoint in endpoints:
            target = before.get(endpoint.id)
            if target is None or target.address != endpoint.address:
                target = Target(endpoint.id, endpoint.address)
                self._push(target, now_s)
            self._targets[endpoint.id] = target

    def due(self, now_s: float) -> list[Target]:
        """Return what is to be checked now, and plan the next time of each.

        An endpoint whose last check still runs is passed over: one that hangs has one check open, never more.
        """
        found: list[Target] = []
        while self._due and self._due[0][0] <= now_s:
            _, _, target = heapq.heappop(self._due)
            if not self._is_current(target):
                continue
            interval_s = self._interval_s * 2 ** min(target.failures, self._doublings)
            self._push(target, now_s + interval_s * self._rng.uniform(1 - JITTER, 1 + JITTER))
            if not target.checking:
                target.checking = True
                found.append(target)
        return found

    def wait_s(self, now_s: float) -> float | None:
        """Return how long until something is due; None when nothing is planned."""
        return max(0.0, self._due[0][0] - now_s) if self._due else None

    def checked(self, target: Target, healthy: bool) -> bool | None:
        """Take a result; return the endpoint's health, None while it is undecided or no longer of interest."""
        target.checking = False
        target.failures = 0 if healthy else target.failures + 1
        if not self._is_current(target):
            return None
        if healthy:
            return True
        return False if target.failures >= self._failures else None

    def _is_current(self, target: Target) -> bool:
        return self._targets.get(target.pod) is target

    def _push(self, target: Target, due_s: float) -> None:
        self._pushed += 1
        heapq.heappush(self._due, (due_s, self._pushed, target))
