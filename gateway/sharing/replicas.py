"""The replicas that there are, as one of them sees it by what it hears of the others.

Lives here: names, leases, gaps in what a sibling said, the order of replicas.  Not here: sending and receiving
(sharing).

A replica that is not heard of for LEASE_S is forgotten with all that it told.  Leases run by the receiver's own clock,
so the clocks of replicas may differ by any amount.
"""

from typing import NamedTuple

LEASE_S = 2.0
"""How long a silent sibling is believed, in seconds: four heartbeats, and a killed one's load is gone within 3 s."""

ASK_AGAIN_S = 0.5
"""Between two questions for everything to the same sibling, in seconds (chosen: far longer than an answer takes)."""

MAX_SIBLINGS = 1_000
"""Siblings that are heard at most, so that nobody can make up any number of them (chosen: far above any gateway)."""


class Hearing(NamedTuple):
    """The meaning of a message: whether it is new, whether its sender is, and whether to ask it for everything."""

    is_new: bool
    has_joined: bool
    asks: bool


class _Sibling:
    """Knowledge of one sibling."""

    __slots__ = ("asked_s", "has_gap", "heard_s", "serial")

    def __init__(self) -> None:
        self.heard_s = 0.0
        self.serial = 0  # of its last message
        self.has_gap = False  # it said something that was not heard, and has not said everything since
        self.asked_s: float | None = None


class Replicas:
    """The replica `name` and its siblings.  Pure: times are parameters, and everything is O(replicas) at most."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._siblings: dict[str, _Sibling] = {}
        self._order = [name]  # of all names, the same at every replica that knows the same ones

    def __len__(self) -> int:
        """Return how many replicas there are, this one included."""
        return len(self._order)

    @property
    def rank(self) -> int:
        """This replica's place among all, from 0."""
        return self._order.index(self.name)

    def is_alive(self, name: str) -> bool:
        """Return whether the replica is this one or a sibling that was heard lately."""
        return name == self.name or name in self._siblings

    def hear(self, name: str, serial: int, now_s: float, *, everything: bool = False) -> Hearing:
        """Note a sibling's message.  Messages are numbered from 1; `everything` has the number of the one before it."""
        sibling = self._siblings.get(name)
        has_joined = sibling is None
        if sibling is None:
            if len(self._siblings) >= MAX_SIBLINGS:
                return Hearing(is_new=False, has_joined=False, asks=False)
            sibling = self._siblings[name] = _Sibling()
            self._sort()
        sibling.heard_s = now_s
        is_new = serial >= sibling.serial if everything else serial > sibling.serial
        if is_new:
            sibling.has_gap = not everything and (sibling.has_gap or serial > sibling.serial + 1)
            sibling.serial = serial
        asks = sibling.has_gap and (sibling.asked_s is None or now_s - sibling.asked_s >= ASK_AGAIN_S)
        if asks:
            sibling.asked_s = now_s
        return Hearing(is_new, has_joined, asks)

    def expire(self, now_s: float) -> list[str]:
        """Forget the siblings that were not heard for LEASE_S; return their names."""
        lost = [name for name, sibling in self._siblings.items() if now_s - sibling.heard_s > LEASE_S]
        for name in lost:
            del self._siblings[name]
        if lost:
            self._sort()
        return lost

    def remove(self, name: str) -> bool:
        """Forget a sibling that has ended; return whether it was known."""
        if self._siblings.pop(name, None) is None:
            return False
        self._sort()
        return True

    def page(self, now_s: float) -> list[dict[str, object]]:
        """Return the siblings, for /debug/replicas."""
        return [
            {
                "replica": name,
                "heard_s_ago": round(now_s - sibling.heard_s, 3),
                "messages": sibling.serial,
                "complete": not sibling.has_gap,
            }
            for name, sibling in sorted(self._siblings.items())
        ]

    def _sort(self) -> None:
        self._order = sorted([self.name, *self._siblings])
