"""What a replica decides while the shared limiter is away, and how it gives that back afterwards.

Lives here: the three answers (`shadow`, `deny`, `allow`), the ledger of what happened meanwhile, its hand-over.
Not here: noticing that Redis is away or back (coalescer).

Leaving and returning: the first call that fails begins the absence; everything is decided here until the shared
limiter answers again; then the ledger is queued to it ahead of every later call: nothing is forgiven or counted twice.
A call that failed without an answer may still have run: what it reserved stays charged until it leaves the window.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ratelimit.coalescer import NotSentError, Reply
from ratelimit.limits import (
    Admitted,
    Charge,
    Limiter,
    LimiterUnavailableError,
    Quota,
    Refused,
    Reservation,
    UnknownUser,
    Usage,
    User,
    Verdict,
)
from ratelimit.memory import MemoryLimiter
from ratelimit.plan import LIVE_S, leaves_in_s, slot_of

WhenAway = Literal["shadow", "deny", "allow"]

UNCOUNTED_SLOT = -1
"""The slot of a reservation that nobody counts."""

MAX_USERS = 100_000
"""Users whose last verdict is remembered, the most recent ones.  Chosen: about 50 MB."""

HANDOVER_PAUSE_S = 0.2
"""Between two attempts to hand over when the shared limiter answers, but not this.  Chosen: as its probe."""


class SharedLimiter(Limiter, Protocol):
    """A limiter that can be away and takes back what was decided meanwhile."""

    @property
    def up(self) -> bool:
        """Whether it answered last time."""
        ...

    async def wait_up(self) -> None:
        """Return as soon as it answers."""
        ...

    def now_s(self) -> float:
        """Its clock, as far as known."""
        ...

    def absorb(self, user: str, handover: str, slots: Mapping[int, tuple[int, int]]) -> Awaitable[Reply]:
        """Add requests and tokens by slot, once per `handover`, ahead of calls made later."""
        ...


@dataclass(frozen=True, slots=True)
class Handover:
    """One user's ledger on its way; its name makes repeating it harmless."""

    user: str
    name: str
    slots: Mapping[int, tuple[int, int]]


class ShadowLimiter:
    """A `Limiter` that goes on as `when_away` says while `primary` raises LimiterUnavailableError.

    `shadow`: the limits and sums last seen here; a user never seen here cannot be judged and raises.
    `deny`: raises.  `allow`: admits, counts nothing, and the quotas are without limits.
    """

    def __init__(self, primary: SharedLimiter, when_away: WhenAway) -> None:
        self._primary = primary
        self._when_away = when_away
        self._away = False
        self._seen: dict[str, tuple[Admitted | Refused, float]] = {}  # last verdict and when; the longest unseen first
        self._memory = self._new_memory()
        self._ledger: dict[str, dict[int, tuple[int, int]]] = {}  # user -> slot -> requests, tokens
        self._handovers: list[Handover] = []
        self._returning: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the shared limiter decides."""
        return self._primary.up and not self._away

    async def reserve(self, charge: Charge) -> Verdict:
        """See `Limiter.reserve`."""
        if not self._away:
            try:
                verdict = await self._primary.reserve(charge)
            except LimiterUnavailableError:
                self._leave()
            else:
                self._remember(charge.user, verdict)
                return verdict
        return await self._reserve_alone(charge)

    async def check(self, charge: Charge) -> Verdict:
        """See `Limiter.check`."""
        if not self._away:
            try:
                return await self._primary.check(charge)
            except LimiterUnavailableError:
                self._leave()
        if self._when_away == "allow":
            return _uncounted(charge)
        self._judge(charge.user)
        return await self._memory.check(charge)

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        """See `Limiter.settle`; while the shared limiter is away the settlement is kept for it."""
        if reservation.slot == UNCOUNTED_SLOT:
            return
        if not self._away:
            try:
                await self._primary.settle(reservation, tokens)
            except NotSentError:
                self._leave()
            except LimiterUnavailableError:
                self._leave()
                raise
            else:
                return
        await self._memory.settle(reservation, tokens)
        self._enter(reservation.user, reservation.slot, requests=0, tokens=tokens - reservation.tokens)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        if not self._away:
            try:
                return await self._primary.usage(user)
            except LimiterUnavailableError:
                self._leave()
        self._judge(user)
        return await self._memory.usage(user)

    async def aclose(self) -> None:
        """Stop waiting for the shared limiter; closing it is its owner's."""
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)

    async def _reserve_alone(self, charge: Charge) -> Verdict:
        if self._when_away == "allow":
            return _uncounted(charge)
        self._judge(charge.user)
        verdict = await self._memory.reserve(charge)
        if isinstance(verdict, Admitted):
            self._enter(charge.user, verdict.reservation.slot, requests=1, tokens=charge.tokens)
        return verdict

    def _judge(self, user: str) -> None:
        """Be able to decide about a user from memory, or raise."""
        if self._when_away != "shadow" or user not in self._seen:
            raise LimiterUnavailableError(f"user = {user}: the shared limiter is away")
        verdict, seen_s = self._seen[user]
        self._memory.seed(user, slot_of(seen_s), requests=verdict.requests.used, tokens=verdict.tokens.used)

    def _remember(self, user: str, verdict: Verdict) -> None:
        self._seen.pop(user, None)
        if not isinstance(verdict, UnknownUser):
            self._seen[user] = (verdict, self._primary.now_s())
            if len(self._seen) > MAX_USERS:
                del self._seen[next(iter(self._seen))]

    def _new_memory(self) -> MemoryLimiter:
        return MemoryLimiter(self._user, self._primary.now_s)

    def _user(self, name: str) -> User | None:
        """The user with the limits last seen."""
        if name not in self._seen:
            return None
        verdict, _ = self._seen[name]
        return User(name, verdict.requests.limit, verdict.tokens.limit)

    def _enter(self, user: str, slot: int, *, requests: int, tokens: int) -> None:
        """Write into the ledger; what has left the window need not be handed over."""
        slots = self._ledger.setdefault(user, {})
        held_requests, held_tokens = slots.get(slot, (0, 0))
        slots[slot] = (held_requests + requests, held_tokens + tokens)
        if len(slots) > LIVE_S:
            now_s = self._primary.now_s()
            self._ledger[user] = {slot: held for slot, held in slots.items() if leaves_in_s(slot, now_s) > 0}

    def _leave(self) -> None:
        """A call failed.  Unless only that call did (`up` is still true), ask no more until the return."""
        self._away = self._away or not self._primary.up
        if self._returning is None:
            self._returning = asyncio.create_task(self._return(), name="limiter-return")

    async def _return(self) -> None:
        try:
            while True:
                await self._primary.wait_up()
                await self._hand_over()
                if not (self._away or self._ledger or self._handovers):
                    return
                await asyncio.sleep(HANDOVER_PAUSE_S)
        finally:
            self._returning = None

    async def _hand_over(self) -> None:
        now_s = self._primary.now_s()
        new = [Handover(user, uuid.uuid4().hex, slots) for user, slots in self._ledger.items()]
        self._ledger = {}
        self._handovers = [each for each in self._handovers + new if leaves_in_s(max(each.slots), now_s) > 0]
        try:
            queued = [self._primary.absorb(each.user, each.name, each.slots) for each in self._handovers]
        except NotSentError:
            return
        self._away = False  # calls from here on stand behind these in the queue
        results = await asyncio.gather(*queued, return_exceptions=True)
        self._handovers = [
            each
            for each, result in zip(self._handovers, results, strict=True)
            if isinstance(result, LimiterUnavailableError)
        ]
        self._away = self._away or not self._primary.up
        if not (self._away or self._ledger or self._handovers):
            self._memory = self._new_memory()


def _uncounted(charge: Charge) -> Admitted:
    unlimited = Quota(limit=None, used=0, reset_s=0.0)
    return Admitted(Reservation(charge.user, UNCOUNTED_SLOT, charge.tokens), unlimited, unlimited)
