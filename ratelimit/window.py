"""The sliding window's arithmetic: what counts now, what a charge meets, how long until it fits.

Lives here: values and pure code; `now_s` is a parameter.  Not here: who the users are (memory, users),
or the same rules inside Redis (lua/), which tests hold to agree with these.

A window is cut into slots, for limits per minute of one second: floor(now_s).  A charge counts until its whole slot
has left the window, so in no WINDOW_S seconds more than the limit is admitted; the price is that it counts up to a
slot too long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ratelimit.limits import WINDOW_S, LimitKind, Quota, Rates, Refused


class Span(NamedTuple):
    """How a window is cut: it is `slots` / `per_s` seconds long."""

    per_s: int
    slots: int


MINUTE = Span(per_s=1, slots=WINDOW_S)
SECOND = Span(per_s=20, slots=20)
"""For requests per second: slots of 50 ms, so that a limit of N lets at least 0.95 N through (chosen)."""

LIVE_S = 1 + WINDOW_S
"""A slot of a minute counts for its own second and the window after it."""

KEEP_S = 2 * LIVE_S
"""Windows without a charge for this long are forgotten: twice the need; a clock that steps back forgives nothing."""


@dataclass(slots=True)
class Slot:
    """What was charged in one slot."""

    requests: int = 0
    tokens: int = 0


class Reading(NamedTuple):
    """What counts at `now_s`, and the newest slots that hold any of it (meaningless where the sum is 0)."""

    now_s: float
    requests: int
    tokens: int
    requests_slot: int
    tokens_slot: int


class Obstacle(NamedTuple):
    """A limit in the way of a charge for `wait_s`; None = for ever."""

    kind: LimitKind
    limit: int
    wait_s: float | None


def slot_of(now_s: float, span: Span = MINUTE) -> int:
    """Where a charge made now belongs."""
    return math.floor(now_s * span.per_s)


def leaves_in_s(slot: int, now_s: float, span: Span = MINUTE) -> float:
    """Seconds until a slot has left the window."""
    return max(0.0, (slot + 1 + span.slots - now_s * span.per_s) / span.per_s)


def quotas(rates: Rates, reading: Reading) -> tuple[Quota, Quota]:
    """Requests and tokens as a verdict shows them."""
    requests_reset_s = leaves_in_s(reading.requests_slot, reading.now_s) if reading.requests else 0.0
    tokens_reset_s = leaves_in_s(reading.tokens_slot, reading.now_s) if reading.tokens else 0.0
    return Quota(rates.rpm, reading.requests, requests_reset_s), Quota(rates.tpm, reading.tokens, tokens_reset_s)


def refused(
    obstacles: Sequence[Obstacle],
    counted: tuple[Quota, Quota],
    model: tuple[Quota, Quota] | None,
    concurrency: int | None,
) -> Refused:
    """The verdict on a charge that met `obstacles` (at least one, in LimitKind's order): the longest wait is named."""
    worst = max(obstacles, key=lambda obstacle: math.inf if obstacle.wait_s is None else obstacle.wait_s)
    return Refused(worst.kind, worst.limit, worst.wait_s, *counted, model, concurrency)


class Window:
    """Charges of one user, one user and model, or one model.  Only charging drops what has left.

    The clock never runs backwards here: no moment is earlier than the newest charge.
    """

    def __init__(self, span: Span = MINUTE) -> None:
        self._span = span
        self._slots: dict[int, Slot] = {}  # ascending
        self._requests = 0  # sums over all of them
        self._tokens = 0

    @property
    def newest_s(self) -> float:
        """When the slot of the last charge began; 0 when there is none."""
        return next(reversed(self._slots), 0) / self._span.per_s

    def take(self, tokens: int, now_s: float) -> int:
        """Charge one request without asking; the slot.  O(slots that left since the last charge)."""
        now_s = max(now_s, self.newest_s)
        self._drop_left(now_s)
        slot = slot_of(now_s, self._span)
        self.add(slot, requests=1, tokens=tokens)
        return slot

    def settle(self, slot: int, reserved: int, tokens: int, requests: int = 0) -> None:
        """Replace `reserved` by `tokens` and give `requests` back; never below zero, nothing when the slot has left."""
        held = self._slots.get(slot)
        if held is not None:
            settled, kept = max(0, held.tokens - reserved + tokens), max(0, held.requests - requests)
            self._tokens += settled - held.tokens
            self._requests += kept - held.requests
            held.tokens, held.requests = settled, kept

    def add(self, slot: int, *, requests: int, tokens: int) -> None:
        """Charge without asking, in the newest slot or a newer one."""
        held = self._slots.setdefault(slot, Slot())
        held.requests += requests
        held.tokens += tokens
        self._requests += requests
        self._tokens += tokens

    def read(self, now_s: float) -> Reading:
        """What counts now."""
        now_s = max(now_s, self.newest_s)
        requests, tokens = self._requests, self._tokens
        for slot, held in self._slots.items():
            if leaves_in_s(slot, now_s, self._span) > 0:
                break
            requests -= held.requests
            tokens -= held.tokens
        newest = reversed(self._slots.items())
        requests_slot = next((slot for slot, held in newest if held.requests), 0)
        tokens_slot = next((slot for slot, held in reversed(self._slots.items()) if held.tokens), 0)
        return Reading(now_s, requests, tokens, requests_slot, tokens_slot)

    def obstacles(self, rates: Rates, tokens: int, now_s: float, kinds: tuple[LimitKind, LimitKind]) -> list[Obstacle]:
        """What is in the way of one request and `tokens`: none, either or both of `kinds`."""
        reading = self.read(now_s)
        found = []
        if rates.rpm is not None and not fits(rates.rpm, reading.requests, 1):
            steps = [(slot, held.requests) for slot, held in self._slots.items()]
            found.append(Obstacle(kinds[0], rates.rpm, self._wait_s(rates.rpm, 1, steps, reading.now_s)))
        if rates.tpm is not None and not fits(rates.tpm, reading.tokens, tokens):
            steps = [(slot, held.tokens) for slot, held in self._slots.items()]
            found.append(Obstacle(kinds[1], rates.tpm, self._wait_s(rates.tpm, tokens, steps, reading.now_s)))
        return found

    def _drop_left(self, now_s: float) -> None:
        for slot in list(self._slots):
            if leaves_in_s(slot, now_s, self._span) > 0:
                return
            held = self._slots.pop(slot)
            self._requests -= held.requests
            self._tokens -= held.tokens

    def _wait_s(self, limit: int, amount: int, steps: list[tuple[int, int]], now_s: float) -> float | None:
        """Until so many slots have left that `amount` fits; None when it does not fit an empty window either."""
        if not fits(limit, 0, amount):
            return None
        left = sum(held for _, held in steps)
        for slot, held in steps:
            left -= held
            if fits(limit, left, amount):
                return leaves_in_s(slot, now_s, self._span)
        return None


def fits(limit: int, used: int, amount: int) -> bool:
    """A limit of 0 allows nothing, not even a charge of 0 tokens."""
    return limit > 0 and used + amount <= limit
