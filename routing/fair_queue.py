"""Who of those that wait is next: users by virtual token counters, one user's requests shortest first.

Lives here: the order.  Not here: when somebody may go (gateway.admission.queue).

Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI'24, algorithm 2): each user's
counter grows by the weighted tokens of the service that it gets, the smallest is served next, and whoever begins to
wait is lifted to the smallest counter of those that wait, so that nobody saves up by being idle.  Between users who
keep waiting the service differs by at most 2 max(w_p x longest input, w_q x tokens that a batch holds).
"""

from bisect import insort
from collections.abc import Iterator
from heapq import heapify, heappop
from typing import Generic, NamedTuple, TypeVar

AGING = 4.0
"""Seconds that a second of work is put back: it goes before all that come this much later (chosen)."""
USERS = 10_000
"""Counters kept of users without anything waiting; the one touched longest ago goes first (chosen)."""

T = TypeVar("T")


class _Place(NamedTuple, Generic[T]):
    key: float
    serial: int  # first come, first served among equals
    work_s: float
    item: T


class _Line(Generic[T]):
    """One user's items in their order."""

    def __init__(self) -> None:
        self.places: list[_Place[T]] = []
        self.work_s = 0.0


class FairQueue(Generic[T]):
    """Items by user, each with the seconds of work that it is."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line[T]] = {}  # no empty ones
        self._counters: dict[str, float] = {}  # in the order of touch
        self._last = 0.0  # counter of the user who waited last
        self._serial = 0

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(line.places) for line in self._lines.values())

    def __bool__(self) -> bool:
        """Whether anybody does."""
        return bool(self._lines)

    def push(self, user: str, item: T, work_s: float, now_s: float) -> None:
        """Let an item wait.  O(its line)."""
        line = self._lines.get(user)
        if line is None:
            others = [self._counters.get(other, 0.0) for other in self._lines]
            self.charge(user, max(0.0, min(others, default=self._last) - self._counters.get(user, 0.0)))
            line = self._lines[user] = _Line()
        self._serial += 1
        insort(line.places, _Place(now_s + AGING * work_s, self._serial, work_s, item))
        line.work_s += work_s

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Each user and all its items, the next user and its next item first.  O(users that wait)."""
        users = [(self._counters.get(user, 0.0), number, user) for number, user in enumerate(self._lines)]
        heapify(users)
        while users:
            user = heappop(users)[2]
            for place in self._lines[user].places:
                yield user, place.item

    def remove(self, user: str, item: T) -> None:
        """Take an item out; it must be in.  O(its line)."""
        line = self._lines[user]
        index = next(index for index, place in enumerate(line.places) if place.item is item)
        line.work_s -= line.places.pop(index).work_s
        if not line.places:
            self._last = self._counters.get(user, 0.0)
            del self._lines[user]

    def charge(self, user: str, tokens: float) -> None:
        """A user was given service, in weighted tokens; negative: less than was thought before."""
        self._counters[user] = self._counters.pop(user, 0.0) + tokens
        if len(self._counters) > USERS + len(self._lines):
            del self._counters[next(name for name in self._counters if name not in self._lines)]

    def page(self) -> dict[str, dict[str, float]]:
        """Return each user who waits, how many requests of theirs do, and the counter; for people to read."""
        return {
            user: {"waiting": len(line.places), "counter": self._counters.get(user, 0.0)}
            for user, line in self._lines.items()
        }

    def work_ahead_s(self, user: str, work_s: float, now_s: float) -> float:
        """Return the seconds of work before an item that would join now: users take turns.  O(users + its line)."""
        key, own_s = now_s + AGING * work_s, 0.0
        line = self._lines.get(user)
        for place in line.places if line is not None else ():
            if place.key > key:
                break
            own_s += place.work_s
        others = (other for other in self._lines.values() if other is not line)
        return own_s + sum(min(other.work_s, own_s + work_s) for other in others)
