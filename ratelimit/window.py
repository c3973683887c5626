"""The sliding window's arithmetic: what counts now, which limits are in a charge's way, how long until it fits.

Lives here: values and pure code; `now_s` is a parameter.  Not here: users and their limits (memory, accounts.users),
or the same rules inside Redis (redis/lua), which tests hold to agree with these.

A window is cut into slots, for limits per minute of one second: floor(now_s).  A slot remembers when it was last
charged, and counts until WINDOW_S after that, all of it.  So in no WINDOW_S seconds more than the limit is admitted, no
wait is longer than WINDOW_S, and the price is that a charge counts up to a slot too long.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ratelimit.kinds import NOTHING, UNITS, WINDOW_S, Amounts, LimitKind, Limits
from ratelimit.limits import Quota, Quotas, Refused


class Span(NamedTuple):
    """How a window is cut into slots: `per_s` in a second, `slots` in the window."""

    per_s: int
    slots: int


MINUTE = Span(per_s=1, slots=WINDOW_S)
SECOND = Span(per_s=20, slots=20)
"""The window of requests per second: slots of 50 ms, so that a limit of N lets at least 0.95 N through (chosen)."""

LIVE_S = 1 + WINDOW_S
"""Seconds that a slot of MINUTE counts at most: its own second and the window after it."""

KEEP_S = 2 * LIVE_S
"""Seconds after its last charge that a window is kept: twice the need, so that a clock that steps back forgives
nothing."""


class Reading(NamedTuple):
    """The amounts that count at a moment, and for each unit the seconds until none does any more."""

    used: Amounts
    reset_s: tuple[float, ...]


class Obstacle(NamedTuple):
    """A limit in the way of a charge for `wait_s`; None = for ever."""

    kind: LimitKind
    limit: int
    wait_s: float | None


def slot_of(now_s: float, span: Span = MINUTE) -> int:
    """Return the slot of a charge that is made now."""
    return math.floor(now_s * span.per_s)


def end_s(slot: int, span: Span = MINUTE) -> float:
    """Return when a slot is over: the last moment at which it may have been charged."""
    return (slot + 1) / span.per_s


def leaves_in_s(last_s: float, now_s: float, span: Span = MINUTE) -> float:
    """Return the seconds until a slot that was last charged at `last_s` has left the window."""
    return max(0.0, last_s - now_s + span.slots / span.per_s)


def quotas(limits: Limits, reading: Reading) -> dict[LimitKind, Quota]:
    """Return a window's limits and use as a verdict shows them."""
    return {
        kind: Quota(limit, kind.of(reading.used), reading.reset_s[UNITS.index(kind.unit)])
        for kind, limit in limits.items()
    }


def refused(obstacles: Sequence[Obstacle], counted: Quotas, concurrency: int | None) -> Refused:
    """Return the verdict on a charge that met `obstacles` (at least one, in the table's order): the longest wait."""
    worst = max(obstacles, key=lambda obstacle: math.inf if obstacle.wait_s is None else obstacle.wait_s)
    return Refused(worst.kind, worst.limit, worst.wait_s, counted, concurrency)


class _Slot(NamedTuple):
    """The amounts of a slot, and when it was last charged."""

    held: Amounts
    last_s: float


class Window:
    """The charges of one user, one user and model, or one model.  Only charging drops what has left.

    The clock never runs backwards here: no moment is earlier than the newest charge.
    """

    def __init__(self, span: Span = MINUTE) -> None:
        self._span = span
        self._slots: dict[int, _Slot] = {}  # ascending
        self._sums = NOTHING  # over all of them

    @property
    def last_s(self) -> float:
        """The time of its last charge; 0 when it never was charged."""
        return self._slots[next(reversed(self._slots))].last_s if self._slots else 0.0

    def take(self, amounts: Amounts, now_s: float) -> int:
        """Charge without asking and return the slot.  O(slots that left since the last charge)."""
        now_s = max(now_s, self.last_s)
        for slot in [slot for slot, _ in self._left(now_s)]:
            self._sums = self._sums.minus(self._slots.pop(slot).held)
        slot = slot_of(now_s, self._span)
        self.add(slot, amounts, now_s)
        return slot

    def settle(self, slot: int, change: Amounts) -> None:
        """Add `change` to what a slot holds, never below zero; do nothing when the slot has left."""
        found = self._slots.get(slot)
        if found is not None:
            settled = Amounts(*[max(0, amount) for amount in found.held.plus(change)])
            self._sums = self._sums.plus(settled.minus(found.held))
            self._slots[slot] = _Slot(settled, found.last_s)

    def move(self, slot: int, held: Amounts, amounts: Amounts, now_s: float) -> int:
        """Charge `amounts` without asking, in place of `held` in a slot that may have left; return the new slot."""
        self.settle(slot, NOTHING.minus(held))
        return self.take(amounts, now_s)

    def add(self, slot: int, amounts: Amounts, last_s: float) -> None:
        """Charge without asking, in the newest slot or a newer one."""
        held = self._slots[slot].held if slot in self._slots else NOTHING
        self._slots[slot] = _Slot(held.plus(amounts), last_s)
        self._sums = self._sums.plus(amounts)

    def read(self, now_s: float) -> Reading:
        """Return what counts now."""
        now_s = max(now_s, self.last_s)
        used = self._used(now_s)
        reset_s = [self._reset_s(unit, now_s) if used[unit] else 0.0 for unit in range(len(NOTHING))]
        return Reading(used, tuple(reset_s))

    def obstacles(self, limits: Limits, amounts: Amounts, now_s: float) -> list[Obstacle]:
        """Return the limits that are in the way of a charge, in the order of `limits`."""
        now_s = max(now_s, self.last_s)
        used = self._used(now_s)
        found = []
        for kind, limit in limits.items():
            if limit is not None and not fits(limit, kind.of(used), kind.of(amounts)):
                found.append(Obstacle(kind, limit, self._wait_s(kind, limit, kind.of(amounts), now_s)))
        return found

    def _used(self, now_s: float) -> Amounts:
        used = self._sums
        for _, held in self._left(now_s):
            used = used.minus(held)
        return used

    def _left(self, now_s: float) -> Iterator[tuple[int, Amounts]]:
        """Yield the slots that have left the window, and what they hold."""
        for slot, (held, last_s) in self._slots.items():
            if leaves_in_s(last_s, now_s, self._span) > 0:
                return
            yield slot, held

    def _reset_s(self, unit: int, now_s: float) -> float:
        newest_s = next((last_s for held, last_s in reversed(self._slots.values()) if held[unit]), 0.0)
        return leaves_in_s(newest_s, now_s, self._span)

    def _wait_s(self, kind: LimitKind, limit: int, amount: int, now_s: float) -> float | None:
        """Return when enough slots have left that `amount` fits; None when it does not fit an empty window either."""
        if not fits(limit, 0, amount):
            return None
        left = kind.of(self._sums)
        for held, last_s in self._slots.values():
            left -= kind.of(held)
            if fits(limit, left, amount):
                return leaves_in_s(last_s, now_s, self._span)
        return None


def fits(limit: int, used: int, amount: int) -> bool:
    """Return whether a charge fits.  A limit of 0 allows nothing, not even a charge of 0 tokens."""
    return limit > 0 and used + amount <= limit
