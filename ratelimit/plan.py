"""The sliding window's arithmetic: what counts now, what a charge meets, how long until it fits.

Lives here: values and pure code; `now_s` is a parameter.  Not here: who the users are (memory, users),
or the same rules inside Redis (lua/), which tests hold to agree with these.

A slot is one second, floor(now_s).  A charge counts until its whole slot has left the window, so in no
WINDOW_S seconds more than the limit is admitted; the price is that it counts up to a second too long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ratelimit.limits import WINDOW_S, Admitted, LimitKind, Quota, Refused, Reservation, User

LIVE_S = 1 + WINDOW_S
"""A slot counts for its own second and the window after it."""

KEEP_S = 2 * LIVE_S
"""Windows without a charge for this long are forgotten: twice the need; a clock that steps back forgives nothing."""


@dataclass(slots=True)
class Slot:
    """What was charged in one second."""

    requests: int = 0
    tokens: int = 0


class Reading(NamedTuple):
    """What counts at `now_s`, and the newest slots that hold any of it (meaningless where the sum is 0)."""

    now_s: float
    requests: int
    tokens: int
    requests_slot: int
    tokens_slot: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A limit in the way of a charge, until everything up to `until_slot` has left; None = for ever."""

    kind: LimitKind
    limit: int
    until_slot: int | None


def slot_of(now_s: float) -> int:
    """Where a charge made now belongs."""
    return math.floor(now_s)


def leaves_in_s(slot: int, now_s: float) -> float:
    """Seconds until a slot has left the window."""
    return max(0.0, slot + LIVE_S - now_s)


def quotas(user: User, reading: Reading) -> tuple[Quota, Quota]:
    """Requests and tokens as a verdict shows them."""
    requests_reset_s = leaves_in_s(reading.requests_slot, reading.now_s) if reading.requests else 0.0
    tokens_reset_s = leaves_in_s(reading.tokens_slot, reading.now_s) if reading.tokens else 0.0
    return Quota(user.rpm, reading.requests, requests_reset_s), Quota(user.tpm, reading.tokens, tokens_reset_s)


def admitted(user: User, reservation: Reservation, reading: Reading) -> Admitted:
    """The verdict on a charge that was taken; `reading` includes it."""
    requests, tokens = quotas(user, reading)
    return Admitted(reservation, requests, tokens)


def refused(user: User, obstacles: Sequence[Obstacle], reading: Reading) -> Refused:
    """The verdict on a charge that met `obstacles` (at least one, RPM first): the longest wait is named."""
    worst = max(obstacles, key=lambda obstacle: math.inf if obstacle.until_slot is None else obstacle.until_slot)
    retry_after_s = None if worst.until_slot is None else leaves_in_s(worst.until_slot, reading.now_s)
    requests, tokens = quotas(user, reading)
    return Refused(worst.kind, worst.limit, retry_after_s, requests, tokens)


class Window:
    """One user's charges.  Reading drops nothing, so refusing changes nothing; charging drops what has left.

    The clock never runs backwards here: no moment is earlier than the newest charge.
    """

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}  # ascending
        self._requests = 0  # sums over all of them
        self._tokens = 0

    @property
    def newest(self) -> int:
        """The slot of the last charge; 0 when there is none."""
        return next(reversed(self._slots), 0)

    def reserve(self, user: User, tokens: int, now_s: float) -> Admitted | Refused:
        """Take one request and `tokens`, or nothing.  O(slots that left since the last charge)."""
        verdict = self.check(user, tokens, now_s)
        if isinstance(verdict, Refused):
            return verdict
        now_s = max(now_s, self.newest)
        self._drop_left(now_s)
        self.add(verdict.reservation.slot, requests=1, tokens=tokens)
        return admitted(user, verdict.reservation, self.read(now_s))

    def check(self, user: User, tokens: int, now_s: float) -> Admitted | Refused:
        """What `reserve` would say; takes nothing, and the quotas are those of now."""
        now_s = max(now_s, self.newest)
        before = self.read(now_s)
        obstacles = self._obstacles(user, tokens, before)
        if obstacles:
            return refused(user, obstacles, before)
        return admitted(user, Reservation(user.name, slot_of(now_s), tokens), before)

    def settle(self, slot: int, reserved: int, tokens: int) -> None:
        """Replace `reserved` by `tokens` in a slot; never below zero, and nothing when it has left."""
        held = self._slots.get(slot)
        if held is not None:
            settled = max(0, held.tokens - reserved + tokens)
            self._tokens += settled - held.tokens
            held.tokens = settled

    def add(self, slot: int, *, requests: int, tokens: int) -> None:
        """Charge without asking, in the newest slot or a newer one."""
        held = self._slots.setdefault(slot, Slot())
        held.requests += requests
        held.tokens += tokens
        self._requests += requests
        self._tokens += tokens

    def read(self, now_s: float) -> Reading:
        """What counts now."""
        now_s = max(now_s, self.newest)
        requests, tokens = self._requests, self._tokens
        for slot, held in self._slots.items():
            if leaves_in_s(slot, now_s) > 0:
                break
            requests -= held.requests
            tokens -= held.tokens
        tokens_slot = next((slot for slot in reversed(self._slots) if self._slots[slot].tokens), 0)
        return Reading(now_s, requests, tokens, self.newest, tokens_slot)

    def _drop_left(self, now_s: float) -> None:
        for slot in list(self._slots):
            if leaves_in_s(slot, now_s) > 0:
                return
            held = self._slots.pop(slot)
            self._requests -= held.requests
            self._tokens -= held.tokens

    def _obstacles(self, user: User, tokens: int, reading: Reading) -> list[Obstacle]:
        obstacles = []
        if user.rpm is not None and not _fits(user.rpm, reading.requests, 1):
            obstacles.append(Obstacle(LimitKind.RPM, user.rpm, self._until(user.rpm, 1, LimitKind.RPM)))
        if user.tpm is not None and not _fits(user.tpm, reading.tokens, tokens):
            obstacles.append(Obstacle(LimitKind.TPM, user.tpm, self._until(user.tpm, tokens, LimitKind.TPM)))
        return obstacles

    def _until(self, limit: int, amount: int, kind: LimitKind) -> int | None:
        """The oldest slot after whose leaving `amount` fits; None when it does not fit an empty window either."""
        if not _fits(limit, 0, amount):
            return None
        left = self._requests if kind is LimitKind.RPM else self._tokens
        for slot, held in self._slots.items():
            left -= held.requests if kind is LimitKind.RPM else held.tokens
            if _fits(limit, left, amount):
                return slot
        return None


def _fits(limit: int, used: int, amount: int) -> bool:
    """A limit of 0 allows nothing, not even a charge of 0 tokens."""
    return limit > 0 and used + amount <= limit
