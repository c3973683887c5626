"""The limiter of a replica while the shared limiter is away, and the hand-over of what it decided.

Lives here: the three answers (`local`, `deny`, `allow`), the ledger of what was decided, its hand-over.
Not here: noticing that Redis is away or back (redis.batching).

The first call that fails because Redis is away begins an absence; a late answer is none.  Until the shared limiter
answers again everything is decided here; then the ledger is handed over, ahead of every later call, so that nothing is
forgiven.  A reserve that failed without an answer may have run, or may run yet: it is decided here anew, and what it
charged there leaves with its window (docs/decisions/0014).

Of n replicas that were alive when last heard, each enforces an n-th of every limit and counts an n-th of what all of
them had used.  A replica cannot know what others admitted after it last heard of a user.
"""

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Literal, Protocol

from ratelimit.kinds import MODEL_KINDS, NOTHING, USER_KINDS, Amounts, LimitKind
from ratelimit.limits import (
    UNCOUNTED_SLOT,
    Admitted,
    Charge,
    Limiter,
    LimiterUnavailableError,
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
from ratelimit.window import KEEP_S, LIVE_S, end_s, leaves_in_s

WhenAway = Literal["local", "deny", "allow"]

MAX_USERS = 100_000
"""How many users' last verdicts are kept, the most recent ones (chosen: about 50 MB)."""

HANDOVER_PAUSE_S = 0.2
"""Seconds between two attempts to hand over, when the shared limiter answers but the hand-over failed (chosen: as often
as Redis is tried)."""

AWAY_RETRY_S = 1.0
"""Seconds until a client asks again for what fits the limit but not this replica's share of it (chosen: most absences
are short)."""


class SharedLimiter(Limiter, Protocol):
    """A limiter that can be away, and takes over what was decided meanwhile."""

    @property
    def share(self) -> tuple[int, int]:
        """This replica's index, from 0, and how many replicas live, as last heard."""
        ...

    @property
    def up(self) -> bool:
        """Whether it is there, as far as known."""
        ...

    @property
    def away_because(self) -> str:
        """Why it is away, or was last."""
        ...

    async def wait_up(self) -> None:
        """Return as soon as it answers."""
        ...

    def now_s(self) -> float:
        """Return its time, as far as known."""
        ...

    def running(self, user: str) -> int:
        """Return how many permits of the user this replica's requests hold."""
        ...

    def take_permit(self, user: str) -> None:
        """Note that a request which was admitted without the shared limiter holds a permit of the user."""
        ...

    def absorb(self, user: str, model: str, handover: str, slots: Mapping[int, Amounts]) -> Awaitable[Reply]:
        """Take over amounts by slot, once per `handover`, ahead of calls made later.  A `model` of "" is all models."""
        ...

    def correct(self, reservation: Reservation, changes: Mapping[str, Amounts]) -> Awaitable[Reply]:
        """Take over settlements by the ids of their requests, each once, ahead of calls made later."""
        ...


Key = tuple[str, str]
"""A user, and a model or "" for the window over all models."""


@dataclass(frozen=True, slots=True)
class Handover:
    """Amounts to add to one window, by slot.  Its name makes repeating it harmless."""

    key: Key
    name: str
    slots: Mapping[int, Amounts]
    until_s: float  # by then all of it has left the window


class LocalFallback:
    """A `Limiter` that goes on as `when_away` says while `primary` raises LimiterUnavailableError.

    `local`: decides by this replica's share of the limits and sums last seen here, and raises for a user never seen
    here.  `deny`: raises.  `allow`: admits, counts nothing, and shows no limits.
    """

    def __init__(self, primary: SharedLimiter, when_away: WhenAway) -> None:
        self._primary = primary
        self._when_away = when_away
        self._away = False
        self._left = asyncio.Event()  # set while `_away`
        self._seen: dict[Key, tuple[Admitted | Refused, float]] = {}  # last verdict and when, oldest first
        self._known: dict[str, User] = {}  # users in `_memory`, with the whole limits
        self._memory = self._new_memory()
        self._ledger: dict[Key, dict[int, Amounts]] = {}  # amounts by slot, decided here
        self._handovers: list[Handover] = []
        self._settlements: list[tuple[Reservation, Mapping[str, Amounts]]] = []  # of what was reserved there, by id
        self._return_task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the shared limiter decides."""
        return self._primary.up and not self._away

    @property
    def away_because(self) -> str:
        """Why the shared limiter is away, or was last."""
        return self._primary.away_because

    async def wait_away(self) -> None:
        """Return as soon as anything has to be decided here."""
        await self._left.wait()

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

    async def settle(
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        """See `Limiter.settle`; while the shared limiter is away the settlement is kept for it."""
        if reservation.slot == UNCOUNTED_SLOT:
            return
        if not self._away:
            try:
                await self._primary.settle(reservation, used, changes)
            except NotSentError:
                self._leave()
            except LimiterUnavailableError:
                self._leave()
                raise
            else:
                return
        await self._memory.settle(reservation, used)
        if changes and reservation.is_shared:  # another may settle these too
            self._settlements.append((reservation, changes))
        else:
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
        self._load(Charge(user, NOTHING))
        return await self._memory.usage(user)

    async def aclose(self) -> None:
        """Stop waiting for the shared limiter, which its owner closes."""
        if self._return_task is not None:
            self._return_task.cancel()
            await asyncio.gather(self._return_task, return_exceptions=True)

    async def _reserved(self, charge: Charge, question: Awaitable[Verdict]) -> Verdict:
        """Return the shared limiter's answer, or when it does not come the one from here."""
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
        whole = self._load(charge)
        verdict = self._memory.decide(self._with_share(charge), takes=True)
        if isinstance(verdict, Admitted) and charge.user:
            self._enter(verdict.reservation, verdict.reservation.amounts)
            if verdict.reservation.permits:
                self._primary.take_permit(charge.user)
            verdict = verdict._replace(reservation=verdict.reservation._replace(is_shared=False))
        elif isinstance(verdict, Refused) and verdict.retry_after_s is None:
            empty = MemoryLimiter({charge.user: whole}.get, self._primary.now_s)
            if isinstance(empty.decide(charge, takes=False), Admitted):  # only the share is too small for it
                return replace(verdict, retry_after_s=AWAY_RETRY_S)
        return verdict

    def _check_alone(self, charge: Charge) -> Verdict:
        if self._when_away == "allow":
            return uncounted(charge)
        self._load(charge)
        return self._memory.decide(self._with_share(charge), takes=False)

    def _load(self, charge: Charge) -> User:
        """Bring a user into memory and return the user with the whole limits.  Raises LimiterUnavailableError."""
        if self._when_away == "local" and not charge.user:
            return User("")
        seen = self._seen.get((charge.user, ""))
        if self._when_away != "local" or seen is None:
            raise LimiterUnavailableError(f"user = {charge.user}: the shared limiter is away")
        verdict, _ = seen
        whole = self._known.get(charge.user)
        if whole is None:
            self._seed(charge.user, "", USER_KINDS, *seen)
            self._memory.seed_permits(charge.user, self._primary.running(charge.user))
            whole = User(charge.user, **_limits(verdict, USER_KINDS), concurrency=verdict.concurrency, models={})
        of_model = self._seen.get((charge.user, charge.model)) if charge.model not in whole.models else None
        if charge.model and of_model is not None:
            self._seed(charge.user, charge.model, MODEL_KINDS, *of_model)
            rates = Rates(**_limits(of_model[0], MODEL_KINDS))
            whole = replace(whole, models={**whole.models, charge.model: rates})
        self._known[charge.user] = whole
        return whole

    def _share(self, limit: int | None) -> int | None:
        """Return this replica's part of a limit: all parts together are the limit."""
        index, count = self._primary.share
        return None if limit is None else limit // count + (index < limit % count)

    def _with_share(self, charge: Charge) -> Charge:
        return charge._replace(rps=self._share(charge.rps))

    def _user(self, name: str) -> User | None:
        """Return the user with this replica's share of the limits."""
        whole = self._known.get(name)
        return None if whole is None else whole.scaled(self._share)

    def _seed(
        self, user: str, model: str, kinds: Sequence[LimitKind], verdict: Admitted | Refused, seen_s: float
    ) -> None:
        """Count this replica's share of what all had used."""
        _, count = self._primary.share
        used = {kind.unit: math.ceil(verdict.quotas[kind].used / count) for kind in kinds}
        self._memory.seed(user, model, seen_s, Amounts(**used))

    def _remember(self, charge: Charge, verdict: Verdict) -> None:
        key = (charge.user, "")
        self._seen.pop(key, None)
        if isinstance(verdict, UnknownUser) or not charge.user:
            return
        seen = self._seen[key] = (verdict, self._primary.now_s())
        if MODEL_KINDS[0] in verdict.quotas:  # all of them are there, or none
            key = (charge.user, charge.model)
            self._seen.pop(key, None)
            self._seen[key] = seen
        while len(self._seen) > MAX_USERS:
            del self._seen[next(iter(self._seen))]

    def _new_memory(self) -> MemoryLimiter:
        self._known = {}
        return MemoryLimiter(self._user, self._primary.now_s)

    def _enter(self, reservation: Reservation, change: Amounts) -> None:
        """Write into the ledger, and drop from it what has left the window."""
        for model in {"", reservation.model}:
            key = (reservation.user, model)
            slots = self._ledger.setdefault(key, {})
            slots[reservation.slot] = slots.get(reservation.slot, NOTHING).plus(change)
            if len(slots) > LIVE_S:
                now_s = self._primary.now_s()
                self._ledger[key] = {slot: held for slot, held in slots.items() if leaves_in_s(end_s(slot), now_s) > 0}

    def _leave(self) -> None:
        """Begin an absence after a failed call, unless only that call failed (`up` is still true)."""
        self._set_away(self._away or not self._primary.up)
        if self._return_task is None:
            self._return_task = asyncio.create_task(self._return(), name="limiter-return")

    def _set_away(self, away: bool) -> None:
        self._away = away
        if away:
            self._left.set()
        else:
            self._left.clear()

    async def _return(self) -> None:
        try:
            while True:
                await self._primary.wait_up()
                await self._hand_over()
                if not (self._away or self._owes()):
                    return
                await asyncio.sleep(HANDOVER_PAUSE_S)
        finally:
            self._return_task = None

    def _owes(self) -> bool:
        """Return whether there is anything to hand over."""
        return bool(self._ledger or self._handovers or self._settlements)

    async def _hand_over(self) -> None:
        now_s = self._primary.now_s()
        new = [Handover(key, uuid.uuid4().hex, slots, now_s + KEEP_S) for key, slots in self._ledger.items()]
        self._ledger = {}
        self._handovers = [each for each in self._handovers + new if each.until_s > now_s]
        try:
            queued = [self._primary.absorb(*each.key, each.name, each.slots) for each in self._handovers]
            queued += [self._primary.correct(*each) for each in self._settlements]
        except NotSentError:
            return
        self._set_away(False)  # calls made from here on are queued behind these
        settlements, self._settlements = self._settlements, []
        results = await asyncio.gather(*queued, return_exceptions=True)
        is_open = [isinstance(result, LimiterUnavailableError) for result in results]
        self._settlements += compress(settlements, is_open[len(self._handovers) :])
        self._handovers = list(compress(self._handovers, is_open))
        self._set_away(self._away or not self._primary.up)
        if not (self._away or self._owes()):
            self._memory = self._new_memory()


def _decided(decide: Callable[[Charge], Verdict], charge: Charge) -> Awaitable[Verdict]:
    """Decide now, and raise what that raises when the answer is awaited."""
    try:
        return known(decide(charge))
    except LimiterUnavailableError as error:
        return failed(error)


def _limits(verdict: Admitted | Refused, kinds: Sequence[LimitKind]) -> dict[str, Any]:
    """Return the limits that a verdict showed, by the names of their fields."""
    return {kind.field: verdict.quotas[kind].limit for kind in kinds}
