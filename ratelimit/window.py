"""The sliding window's arithmetic: what counts now, which limits are in a charge's way, how long until it fits.

Lives here: values and pure code; `now_s` is a parameter.  Not here: users and their limits (memory, accounts.users),
or the same rules inside Redis (redis/lua), which tests hold to agree with these.

A window is cut into slots, for limits per minute of one second: floor(now_s).  A charge counts until its whole slot
has left the window, so in no WINDOW_S seconds more than the limit is admitted; the price is that it counts up to a
slot too long.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ratelimit.limits import NOTHING, WINDOW_S, Amounts, LimitKind, Limits, Quota, Quotas, Refused


class Span(NamedTuple):
    """How a window is cut into slots: `per_s` in a second, `slots` in the window."""

    per_s: int
    slots: int


MINUTE = Span(per_s=1, slots=WINDOW_S)
SECOND = Span(per_s=20, slots=20)
"""The window of requests per second: slots of 50 ms, so that a limit of N lets at least 0.95 N through (chosen)."""

LIVE_S = 1 + WINDOW_S
"""Seconds that a slot of MINUTE counts: its own second and the window after it."""

KEEP_S = 2 * LIVE_S
"""Seconds after its last charge that a window is kept: twice the need, so that a clock that steps back forgives
nothing."""


class Reading(NamedTuple):
    """The amounts that count at `now_s`, and for each unit the newest slot that holds any of it (0 where none does)."""

    now_s: float
    used: Amounts
    newest: Amounts


class Obstacle(NamedTuple):
    """A limit in the way of a charge for `wait_s`; None = for ever."""

    kind: LimitKind
    limit: int
    wait_s: float | None


def slot_of(now_s: float, span: Span = MINUTE) -> int:
    """Return the slot of a charge that is made now."""
    return math.floor(now_s * span.per_s)


def leaves_in_s(slot: int, now_s: float, span: Span = MINUTE) -> float:
    """Return the seconds until a slot has left the window."""
    return max(0.0, (slot + 1 + span.slots - now_s * span.per_s) / span.per_s)


def quotas(limits: Limits, reading: Reading) -> dict[LimitKind, Quota]:
    """Return a window's limits and use as a verdict shows them."""
    return {
        kind: _quota(limit, kind.of(reading.used), kind.of(reading.newest), reading.now_s)
        for kind, limit in limits.items()
    }


def _quota(limit: int | None, used: int, newest: int, now_s: float) -> Quota:
    return Quota(limit, used, leaves_in_s(newest, now_s) if used else 0.0)


def refused(obstacles: Sequence[Obstacle], counted: Quotas, concurrency: int | None) -> Refused:
    """Return the verdict on a charge that met `obstacles` (at least one, in the table's order): the longest wait."""
    worst = max(obstacles, key=lambda obstacle: math.inf if obstacle.wait_s is None else obstacle.wait_s)
    return Refused(worst.kind, worst.limit, worst.wait_s, counted, concurrency)


class Window:
    """The charges of one user, one user and model, or one model.  Only charging drops what has left.

    The clock never runs backwards here: no moment is earlier than the newest charge.
    """

    def __init__(self, span: Span = MINUTE) -> None:
        self._span = span
        self._slots: dict[int, Amounts] = {}  # ascending
        self._sums = NOTHING  # over all of them

    @property
    def newest_s(self) -> float:
        """When the slot of the last charge began; 0 when there is none."""
        return next(reversed(self._slots), 0) / self._span.per_s

    def take(self, amounts: Amounts, now_s: float) -> int:
        """Charge without asking and return the slot.  O(slots that left since the last charge)."""
        now_s = max(now_s, self.newest_s)
        self._drop_left(now_s)
        slot = slot_of(now_s, self._span)
        self.add(slot, amounts)
        return slot

    def settle(self, slot: int, change: Amounts) -> None:
        """Add `change` to what a slot holds, never below zero; do nothing when the slot has left."""
        held = self._slots.get(slot)
        if held is not None:
            settled = Amounts(*[max(0, amount) for amount in held.plus(change)])
            self._sums = self._sums.plus(settled.minus(held))
            self._slots[slot] = settled

    def add(self, slot: int, amounts: Amounts) -> None:
        """Charge without asking, in the newest slot or a newer one."""
        self._slots[slot] = self._slots.get(slot, NOTHING).plus(amounts)
        self._sums = self._sums.plus(amounts)

    def read(self, now_s: float) -> Reading:
        """Return what counts now."""
        now_s = max(now_s, self.newest_s)
        used = self._sums
        for slot, held in self._slots.items():
            if leaves_in_s(slot, now_s, self._span) > 0:
                break
            used = used.minus(held)
        newest = Amounts(*[self._newest_with(unit) for unit in range(len(NOTHING))])
        return Reading(now_s, used, newest)

    def obstacles(self, limits: Limits, amounts: Amounts, now_s: float) -> list[Obstacle]:
        """Return the limits that are in the way of a charge, in the order of `limits`."""
        reading = self.read(now_s)
        found = []
        for kind, limit in limits.items():
            if limit is not None and not fits(limit, kind.of(reading.used), kind.of(amounts)):
                found.append(Obstacle(kind, limit, self._wait_s(kind, limit, kind.of(amounts), reading.now_s)))
        return found

    def _newest_with(self, unit: int) -> int:
        return next((slot for slot, held in reversed(self._slots.items()) if held[unit]), 0)

    def _drop_left(self, now_s: float) -> None:
        for slot in list(self._slots):
            if leaves_in_s(slot, now_s, self._span) > 0:
                return
            self._sums = self._sums.minus(self._slots.pop(slot))

    def _wait_s(self, kind: LimitKind, limit: int, amount: int, now_s: float) -> float | None:
        """Return when enough slots have left that `amount` fits; None when it does not fit an empty window either."""
        if not fits(limit, 0, amount):
            return None
        left = kind.of(self._sums)
        for slot, held in self._slots.items():
            left -= kind.of(held)
            if fits(limit, left, amount):
                return leaves_in_s(slot, now_s, self._span)
        return None


def fits(limit: int, used: int, amount: int) -> bool:
    """Return whether a charge fits.  A limit of 0 allows nothing, not even a charge of 0 tokens."""
    return limit > 0 and used + amount <= limit
