"""The order of waiting requests: users by virtual token counters, the requests of a user shortest first.

Lives here: the order.  Not here: when a request may leave the queue (gateway.admission.queue).

Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI'24, algorithm 2): a user's
counter grows by the weighted tokens of the service that the user gets, and the user with the smallest counter is served
next.  The counter of a user who begins to wait is raised to the smallest counter of the waiting users, so that idle
time earns no credit.  Among users who keep waiting, service differs by at most 2 max(w_p x longest input, w_q x tokens
of a batch).
"""

from bisect import insort
from collections.abc import Iterator
from heapq import heapify, heappop
from typing import Generic, NamedTuple, TypeVar

AGING = 4.0
"""Seconds by which a second of work postpones a request: requests that come later than that cannot overtake it, so that
none starves (chosen)."""
MAX_IDLE_USERS = 10_000
"""Maximum number of counters of users who do not wait; the one updated longest ago is dropped first (chosen)."""

T = TypeVar("T")


class _Entry(NamedTuple, Generic[T]):
    key: float
    serial: int  # first come, first served among equal keys
    work_s: float
    item: T


class _UserQueue(Generic[T]):
    """The waiting items of one user, in order."""

    def __init__(self) -> None:
        self.entries: list[_Entry[T]] = []
        self.work_s = 0.0  # of all entries


class FairQueue(Generic[T]):
    """A queue of items, each of which belongs to a user and takes some seconds of work."""

    def __init__(self) -> None:
        self._queues: dict[str, _UserQueue[T]] = {}  # by user; none is empty
        self.counters: dict[str, float] = {}
        """Counters by user, the least recently updated first."""
        self._last_counter = 0.0  # of the last user who stopped waiting
        self._serial = 0

    def __len__(self) -> int:
        """Return the number of waiting items."""
        return sum(len(queue.entries) for queue in self._queues.values())

    def __bool__(self) -> bool:
        """Whether any item waits."""
        return bool(self._queues)

    def push(self, user: str, item: T, work_s: float, now_s: float) -> None:
        """Add an item.  O(items of the user)."""
        queue = self._queues.get(user)
        if queue is None:
            others = [self.counters.get(other, 0.0) for other in self._queues]
            self.charge(user, max(0.0, min(others, default=self._last_counter) - self.counters.get(user, 0.0)))
            queue = self._queues[user] = _UserQueue()
        self._serial += 1
        insort(queue.entries, _Entry(now_s + AGING * work_s, self._serial, work_s, item))
        queue.work_s += work_s

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Yield users and items: all items of the next user in their order, then those of the user after that.

        O(waiting users) before the first.
        """
        users = [(self.counters.get(user, 0.0), number, user) for number, user in enumerate(self._queues)]
        heapify(users)
        while users:
            user = heappop(users)[2]
            for entry in self._queues[user].entries:
                yield user, entry.item

    def remove(self, user: str, item: T) -> None:
        """Remove an item, which must be there.  O(items of the user)."""
        queue = self._queues[user]
        index = next(index for index, entry in enumerate(queue.entries) if entry.item is item)
        queue.work_s -= queue.entries.pop(index).work_s
        if not queue.entries:
            self._last_counter = self.counters.get(user, 0.0)
            del self._queues[user]

    def charge(self, user: str, tokens: float) -> None:
        """Add service in weighted tokens to a user's counter; negative: an earlier charge was too high."""
        self.counters[user] = self.counters.pop(user, 0.0) + tokens
        if len(self.counters) > MAX_IDLE_USERS + len(self._queues):
            del self.counters[next(name for name in self.counters if name not in self._queues)]

    def page(self) -> dict[str, dict[str, float]]:
        """Return each waiting user with the number of waiting requests and the counter, for /debug/waiting."""
        return {
            user: {"waiting": len(queue.entries), "counter": self.counters.get(user, 0.0)}
            for user, queue in self._queues.items()
        }

    def work_ahead_s(self, user: str, work_s: float, now_s: float) -> float:
        """Return the seconds of work ahead of an item that would be added now.

        Users take turns, so another user's items count up to as much work as the user's own.  O(users + items of the
        user).
        """
        key, own_s = now_s + AGING * work_s, 0.0
        queue = self._queues.get(user)
        for entry in queue.entries if queue is not None else ():
            if entry.key > key:
                break
            own_s += entry.work_s
        others = (other for other in self._queues.values() if other is not queue)
        return own_s + sum(min(other.work_s, own_s + work_s) for other in others)
