"""What a replica decides while the shared limiter is away, and how it gives that back afterwards.

Lives here: the three answers (`local`, `deny`, `allow`), the ledger of what happened meanwhile, its hand-over.
Not here: noticing that Redis is away or back (coalescer).

Leaving and returning: the first call that fails begins the absence; everything is decided here until the shared
limiter answers again; then the ledger is queued to it ahead of every later call: nothing is forgiven or counted twice.
A reserve that failed without an answer may still have run, or may run yet: it is decided here anew, and what it charged
there leaves with its window (docs/decisions/0014).

Shares: with n replicas alive when last heard, each has an n-th of every limit and counts an n-th of what all had used.
What others admitted after a replica last heard of a user it cannot know.
"""

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from ratelimit.limits import (
    MODEL_KINDS,
    NOTHING,
    UNCOUNTED_SLOT,
    USER_KINDS,
    Admitted,
    Amounts,
    Charge,
    Limiter,
    LimiterUnavailableError,
    LimitKind,
    Rates,
    Refused,
    Reservation,
    UnknownUser,
    Usage,
    User,
    Verdict,
    uncounted,
)
from ratelimit.memory import MemoryLimiter
from ratelimit.questions import Question, failed, known
from ratelimit.redis.batching import NotSentError, Reply
from ratelimit.window import KEEP_S, LIVE_S, leaves_in_s, slot_of

WhenAway = Literal["local", "deny", "allow"]

MAX_USERS = 100_000
"""Users whose last verdict is remembered, the most recent ones.  Chosen: about 50 MB."""

HANDOVER_PAUSE_S = 0.2
"""Between two attempts to hand over when the shared limiter answers, but not this.  Chosen: as its probe."""


AWAY_RETRY_S = 1.0
"""When to ask again for what fits the limit but not this replica's share of it (chosen: an absence is mostly short)."""


class SharedLimiter(Limiter, Protocol):
    """A limiter that can be away and takes back what was decided meanwhile."""

    @property
    def share(self) -> tuple[int, int]:
        """This replica's index, from 0, and how many replicas live, as last heard."""
        ...

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

    def running(self, user: str) -> int:
        """Return how many permits of the user this replica's requests hold."""
        ...

    def take_permit(self, user: str) -> None:
        """Note that a request which was admitted without the shared limiter holds a permit of the user."""
        ...

    def absorb(self, user: str, model: str, handover: str, slots: Mapping[int, Amounts]) -> Awaitable[Reply]:
        """Add amounts by slot, once per `handover`, ahead of calls made later."""
        ...


Key = tuple[str, str]
"""A user, and a model or "" for the window over all models."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What is to be added to one window, by slot; its name makes repeating it harmless."""

    key: Key
    name: str
    slots: Mapping[int, Amounts]
    until_s: float  # afterwards nothing of it matters


class LocalFallback:
    """A `Limiter` that goes on as `when_away` says while `primary` raises LimiterUnavailableError.

    `local`: this replica's share of the limits and sums last seen here; a user never seen here cannot be judged and
    raises.  `deny`: raises.  `allow`: admits, counts nothing, and the quotas are without limits.
    """

    def __init__(self, primary: SharedLimiter, when_away: WhenAway) -> None:
        self._primary = primary
        self._when_away = when_away
        self._away = False
        self._seen: dict[Key, tuple[Admitted | Refused, float]] = {}  # last verdict and when; the longest unseen first
        self._judged: dict[str, User] = {}  # whom the memory knows, with the whole limits
        self._memory = self._new_memory()
        self._ledger: dict[Key, dict[int, Amounts]] = {}  # by slot what was admitted, settled and given back here
        self._handovers: list[Handover] = []
        self._returning: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the shared limiter decides."""
        return self._primary.up and not self._away

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.reserve`."""
        if self._away:
            return _decided(self._reserve_alone, charge)
        return Question(self._reserved, charge, self._primary.reserve(charge))

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.check`."""
        if self._away:
            return _decided(self._check_alone, charge)
        return Question(self._checked, charge, self._primary.check(charge))

    async def settle(self, reservation: Reservation, used: Amounts) -> None:
        """See `Limiter.settle`; while the shared limiter is away the settlement is kept for it."""
        if reservation.slot == UNCOUNTED_SLOT:
            return
        if not self._away:
            try:
                await self._primary.settle(reservation, used)
            except NotSentError:
                self._leave()
            except LimiterUnavailableError:
                self._leave()
                raise
            else:
                return
        await self._memory.settle(reservation, used)
        self._enter(reservation, used.minus(reservation.amounts))

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`."""
        self._primary.release(reservation)
        self._memory.release(reservation)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        if not self._away:
            try:
                return await self._primary.usage(user)
            except LimiterUnavailableError:
                self._leave()
        self._judge(Charge(user, NOTHING))
        return await self._memory.usage(user)

    async def aclose(self) -> None:
        """Stop waiting for the shared limiter; closing it is its owner's."""
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)

    async def _reserved(self, charge: Charge, question: Awaitable[Verdict]) -> Verdict:
        """The shared limiter's answer, or the one from here when it does not come."""
        try:
            verdict = await question
        except LimiterUnavailableError:
            self._leave()
        else:
            self._remember(charge, verdict)
            return verdict
        return self._reserve_alone(charge)

    async def _checked(self, charge: Charge, question: Awaitable[Verdict]) -> Verdict:
        try:
            return await question
        except LimiterUnavailableError:
            self._leave()
        return self._check_alone(charge)

    def _reserve_alone(self, charge: Charge) -> Verdict:
        if self._when_away == "allow":
            return uncounted(charge)
        whole = self._judge(charge)
        verdict = self._memory.decide(self._shared(charge), takes=True)
        if isinstance(verdict, Admitted) and charge.user:
            self._enter(verdict.reservation, charge.amounts)
            if verdict.reservation.holds_permit:
                self._primary.take_permit(charge.user)
        elif isinstance(verdict, Refused) and verdict.retry_after_s is None:
            empty = MemoryLimiter({charge.user: whole}.get, self._primary.now_s)
            if isinstance(empty.decide(charge, takes=False), Admitted):  # only the share is too small for it
                return replace(verdict, retry_after_s=AWAY_RETRY_S)
        return verdict

    def _check_alone(self, charge: Charge) -> Verdict:
        if self._when_away == "allow":
            return uncounted(charge)
        self._judge(charge)
        return self._memory.decide(self._shared(charge), takes=False)

    def _judge(self, charge: Charge) -> User:
        """Be able to decide about a user from memory, or raise.  The user with the whole limits."""
        if self._when_away == "local" and not charge.user:
            return User("")
        seen = self._seen.get((charge.user, ""))
        if self._when_away != "local" or seen is None:
            raise LimiterUnavailableError(f"user = {charge.user}: the shared limiter is away")
        verdict, _ = seen
        whole = self._judged.get(charge.user)
        if whole is None:
            self._seed(charge.user, "", USER_KINDS, *seen)
            self._memory.seed_permits(charge.user, self._primary.running(charge.user))
            whole = User(charge.user, **_limits(verdict, USER_KINDS), concurrency=verdict.concurrency, models={})
        of_model = self._seen.get((charge.user, charge.model)) if charge.model not in whole.models else None
        if charge.model and of_model is not None:
            self._seed(charge.user, charge.model, MODEL_KINDS, *of_model)
            rates = Rates(**_limits(of_model[0], MODEL_KINDS))
            whole = replace(whole, models={**whole.models, charge.model: rates})
        self._judged[charge.user] = whole
        return whole

    def _share(self, limit: int | None) -> int | None:
        """Return this replica's part of a limit: all parts together are the limit."""
        index, count = self._primary.share
        return None if limit is None else limit // count + (index < limit % count)

    def _shared(self, charge: Charge) -> Charge:
        return charge._replace(rps=self._share(charge.rps))

    def _user(self, name: str) -> User | None:
        """Return the user with this replica's share of the limits."""
        whole = self._judged.get(name)
        return None if whole is None else whole.scaled(self._share)

    def _seed(
        self, user: str, model: str, kinds: Sequence[LimitKind], verdict: Admitted | Refused, seen_s: float
    ) -> None:
        """Count this replica's share of what all had used."""
        _, count = self._primary.share
        used = {kind.unit: math.ceil(verdict.quotas[kind].used / count) for kind in kinds}
        self._memory.seed(user, model, slot_of(seen_s), Amounts(**used))

    def _remember(self, charge: Charge, verdict: Verdict) -> None:
        key = (charge.user, "")
        self._seen.pop(key, None)
        if isinstance(verdict, UnknownUser) or not charge.user:
            return
        seen = self._seen[key] = (verdict, self._primary.now_s())
        if any(kind in verdict.quotas for kind in MODEL_KINDS):
            key = (charge.user, charge.model)
            self._seen.pop(key, None)
            self._seen[key] = seen
        while len(self._seen) > MAX_USERS:
            del self._seen[next(iter(self._seen))]

    def _new_memory(self) -> MemoryLimiter:
        self._judged = {}
        return MemoryLimiter(self._user, self._primary.now_s)

    def _enter(self, reservation: Reservation, change: Amounts) -> None:
        """Write into the ledger; what has left the window need not be handed over."""
        for model in {"", reservation.model}:
            key = (reservation.user, model)
            slots = self._ledger.setdefault(key, {})
            slots[reservation.slot] = slots.get(reservation.slot, NOTHING).plus(change)
            if len(slots) > LIVE_S:
                now_s = self._primary.now_s()
                self._ledger[key] = {slot: held for slot, held in slots.items() if leaves_in_s(slot, now_s) > 0}

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
        new = [Handover(key, uuid.uuid4().hex, slots, now_s + KEEP_S) for key, slots in self._ledger.items()]
        self._ledger = {}
        self._handovers = [each for each in self._handovers + new if each.until_s > now_s]
        try:
            queued = [self._primary.absorb(*each.key, each.name, each.slots) for each in self._handovers]
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


def _decided(decide: Callable[[Charge], Verdict], charge: Charge) -> Awaitable[Verdict]:
    """Decide now; what that raises is raised to the one who awaits the answer."""
    try:
        return known(decide(charge))
    except LimiterUnavailableError as error:
        return failed(error)


def _limits(verdict: Admitted | Refused, kinds: Sequence[LimitKind]) -> dict[str, int | None]:
    """Return the limits that a verdict showed, by the names of their fields."""
    return {kind.field: verdict.quotas[kind].limit for kind in kinds}
