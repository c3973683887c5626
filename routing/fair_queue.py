"""The order of waiting requests: users by virtual token counters, the requests of a user shortest first.

Lives here: the order.  Not here: when a request may leave the queue (gateway.admission.queue).

Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI'24, algorithm 2): a user's
counter grows by the weighted tokens of the service that the user gets, and the user with the smallest counter is served
next.  The counter of a user who begins to wait is raised to the smallest counter of the waiting users, so that idle
time earns no credit.  Among users who keep waiting, service differs by at most 2 max(w_p x longest input, w_q x tokens
of a batch).

Requests have priorities: those of a higher one go before all others, whoever sends them, and fairness is among those of
one priority.  So a user has a counter, and a place in the queue, for each priority: `flow` names it.

Over several replicas, each of which has such a queue, the users who wait at any of them take turns.  Each replica keeps
all counters, and learns from the others what they charge and who waits there.  The bound grows by LEAD_TOKENS and by
what is served while a message travels.
"""

import re
from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop
from typing import Generic, NamedTuple, TypeVar

AGING = 4.0
"""Seconds by which a second of work postpones a request: requests that come later than that cannot overtake it, so that
none starves (chosen)."""
MAX_IDLE_USERS = 10_000
"""Maximum number of counters of users who do not wait; the one updated longest ago is dropped first (chosen)."""

LEAD_TOKENS = 4096.0
"""Weighted tokens by which a user may be ahead of the first user of all replicas and still be served, so that replicas
send at the same time and not one after the other, a message apart (chosen: some requests; less than a batch)."""

T = TypeVar("T")

_FLOW = re.compile(r"(-?[0-9]{1,19}),", re.ASCII)
"""The beginning of a flow whose priority is not 0.  No user's name has a comma (docs/contracts.md section 2)."""


def flow(user: str, priority: int) -> str:
    """Return the name under which a user's requests of one priority wait, which is how replicas tell of them too."""
    return f"{priority},{user}" if priority else user


def priority_of(user: str) -> int:
    """Return the priority of a flow."""
    found = _FLOW.match(user) if "," in user else None
    return int(found[1]) if found else 0


class _Entry(NamedTuple, Generic[T]):
    key: float
    serial: int  # first come, first served among equal keys
    work_s: float
    item: T
    is_told: bool


class _UserQueue(Generic[T]):
    """The waiting items of one user, in order."""

    def __init__(self) -> None:
        self.entries: list[_Entry[T]] = []
        self.work_s = 0.0  # of all entries
        self.told = 0  # entries that other replicas are told of


class FairQueue(Generic[T]):
    """A queue of items, each of which belongs to a user and takes some seconds of work; a user is a flow here."""

    def __init__(self) -> None:
        self.told_s: dict[str, float] = {}
        """Seconds of work by user that other replicas are told of."""
        self._queues: dict[str, _UserQueue[T]] = {}  # by user; none is empty
        self._elsewhere: dict[str, Mapping[str, float]] = {}  # replica -> user -> seconds of work; none is empty
        self.counters: dict[str, float] = {}
        """Counters by user, the least recently updated first."""
        self._last_counters: dict[int, float] = {}  # by priority: of the last user who stopped waiting
        self._serial = 0

    def __len__(self) -> int:
        """Return the number of items that wait here."""
        return sum(len(queue.entries) for queue in self._queues.values())

    def __bool__(self) -> bool:
        """Whether any item waits here."""
        return bool(self._queues)

    @property
    def waits_elsewhere(self) -> bool:
        """Whether any item waits at another replica."""
        return bool(self._elsewhere)

    def push(self, user: str, item: T, work_s: float, now_s: float, *, is_told: bool = True) -> None:
        """Add an item; `is_told`: it counts for `told_s`.  O(items of the user + waiting users)."""
        queue = self._queues.get(user)
        if queue is None:
            self._begin(user)
            queue = self._queues[user] = _UserQueue()
        self._serial += 1
        insort(queue.entries, _Entry(now_s + AGING * work_s, self._serial, work_s, item, is_told))
        queue.work_s += work_s
        if is_told:
            queue.told += 1
            self.told_s[user] = self.told_s.get(user, 0.0) + work_s

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Yield users and items: all items of the next user in their order, then those of the user after that.

        O(waiting users) before the first.
        """
        users = [
            (-priority_of(user), self.counters.get(user, 0.0), number, user) for number, user in enumerate(self._queues)
        ]
        heapify(users)
        while users:
            user = heappop(users)[3]
            for entry in self._queues[user].entries:
                yield user, entry.item

    def remove(self, user: str, item: T) -> None:
        """Remove an item, which must be there.  O(items of the user)."""
        queue = self._queues[user]
        index = next(index for index, entry in enumerate(queue.entries) if entry.item is item)
        entry = queue.entries.pop(index)
        queue.work_s -= entry.work_s
        if entry.is_told:
            queue.told -= 1
            self.told_s[user] = max(0.0, self.told_s[user] - entry.work_s)
            if not queue.told:
                del self.told_s[user]
        if not queue.entries:
            del self._queues[user]
            self._stop(user)

    def wait_elsewhere(self, replica: str, work_s: Mapping[str, float]) -> None:
        """Take over who waits at another replica, as seconds of work by user."""
        before = self._elsewhere.get(replica, {})
        for user in work_s:
            self._begin(user)
        if work_s:
            self._elsewhere[replica] = work_s
        else:
            self._elsewhere.pop(replica, None)
        for user in before:
            self._stop(user)

    def rivals(self) -> list[str]:
        """Return the other replicas where a user waits who may be served now.  O(waiting users)."""
        priority, limit = self._limit()
        return [
            replica
            for replica, users in self._elsewhere.items()
            if any(priority_of(user) == priority and self.counters.get(user, 0.0) <= limit for user in users)
        ]

    def may_be_served(self, user: str) -> bool:
        """Return whether no higher priority waits elsewhere, nor users of this one who were served far less."""
        priority, limit = self._limit()
        return priority_of(user) == priority and self.counters.get(user, 0.0) <= limit

    def charge(self, user: str, tokens: float) -> None:
        """Add service in weighted tokens to a user's counter; negative: an earlier charge was too high."""
        self.counters[user] = self.counters.pop(user, 0.0) + tokens
        if len(self.counters) > MAX_IDLE_USERS + len(self._queues):
            idle = next((name for name in self.counters if not self._waits(name)), None)
            if idle is not None:
                del self.counters[idle]

    def charge_elsewhere(self, charges: Mapping[str, float], *, in_all: bool) -> None:
        """Take over what another replica charged; `in_all`: its counters, of which those that are ahead count."""
        for user, tokens in charges.items():
            self.charge(user, max(0.0, tokens - self.counters.get(user, 0.0)) if in_all else tokens)

    def page(self) -> dict[str, dict[str, float]]:
        """Return each user who waits here with the number of requests and the counter, for /debug/waiting."""
        return {
            user: {"waiting": len(queue.entries), "counter": self.counters.get(user, 0.0)}
            for user, queue in self._queues.items()
        }

    def work_ahead_s(self, user: str, work_s: float, now_s: float) -> float:
        """Return the seconds of work ahead of an item that would be added now.

        Users take turns, so another user's items count up to as much work as the user's own; and so do replicas where
        the same user waits.  Of a higher priority all items count, of a lower one none.
        O(waiting users + items of the user).
        """
        key, own_s = now_s + AGING * work_s, 0.0
        queue = self._queues.get(user)
        for entry in queue.entries if queue is not None else ():
            if entry.key > key:
                break
            own_s += entry.work_s
        others_s = {other: waiting.work_s for other, waiting in self._queues.items() if other != user}
        ahead_s = own_s
        for users in self._elsewhere.values():
            for other, elsewhere_s in users.items():
                if other == user:
                    ahead_s += min(elsewhere_s, own_s + work_s)
                else:
                    others_s[other] = others_s.get(other, 0.0) + elsewhere_s
        priority = priority_of(user)
        for other, other_s in others_s.items():
            other_priority = priority_of(other)
            if other_priority >= priority:
                ahead_s += other_s if other_priority > priority else min(other_s, own_s + work_s)
        return ahead_s

    def _begin(self, user: str) -> None:
        """Raise the counter of a user who begins to wait, unless the user waits already, here or elsewhere."""
        if not self._waits(user):
            priority = priority_of(user)
            least = min(self._waiting_counters(priority), default=self._last_counters.get(priority, 0.0))
            self.charge(user, max(0.0, least - self.counters.get(user, 0.0)))

    def _stop(self, user: str) -> None:
        """Remember the counter of a user who no longer waits anywhere."""
        if not self._waits(user):
            self._last_counters[priority_of(user)] = self.counters.get(user, 0.0)

    def _waits(self, user: str) -> bool:
        return user in self._queues or any(user in users for users in self._elsewhere.values())

    def _everywhere(self) -> Iterator[str]:
        """Yield those who wait anywhere; who waits at several replicas comes more than once."""
        everywhere: Iterable[Iterable[str]] = (self._queues, *self._elsewhere.values())
        return (user for users in everywhere for user in users)

    def _waiting_counters(self, priority: int) -> Iterator[float]:
        return (self.counters.get(user, 0.0) for user in self._everywhere() if priority_of(user) == priority)

    def _limit(self) -> tuple[int, float]:
        """Return the priority of users who may be served, and the largest counter of one."""
        priority = max(map(priority_of, self._everywhere()), default=0)
        return priority, min(self._waiting_counters(priority), default=0.0) + LEAD_TOKENS
