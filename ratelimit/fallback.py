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
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Literal, Protocol

from ratelimit.heard import Heard, LastHeard, Part, policy_of, user_of, with_model
from ratelimit.kinds import GROUP, KEY, LEVEL_KINDS, MODEL_KINDS, NOTHING, USER, Amounts, Scope
from ratelimit.limits import (
    BUDGETS,
    UNCOUNTED_SLOT,
    Admitted,
    Charge,
    Holder,
    Limiter,
    LimiterUnavailableError,
    Policy,
    Refused,
    Reservation,
    Usage,
    User,
    Verdict,
    uncounted,
)
from ratelimit.memory import MemoryLimiter
from ratelimit.periods import PERIODS, day_slot
from ratelimit.questions import Question, failed, known
from ratelimit.redis.batching import NotSentError, Reply
from ratelimit.redis.scripts import BUDGET_KEEP_S
from ratelimit.window import KEEP_S, LIVE_S, end_s, leaves_in_s

WhenAway = Literal["local", "deny", "allow"]

HANDOVER_PAUSE_S = 0.2
"""Seconds between two attempts to hand over to a limiter that answers (chosen: as often as Redis is tried)."""

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

    def running(self, holder: Holder) -> int:
        """Return how many permits of a level this replica's requests hold."""
        ...

    def take_permits(self, reservation: Reservation) -> None:
        """Note that a request which was admitted without the shared limiter holds permits."""
        ...

    def absorb(self, holder: Holder, part: str, handover: str, slots: Mapping[int, Amounts]) -> Awaitable[Reply]:
        """Take over amounts by slot, once per `handover`, ahead of calls made later.

        They go to the level's window over all models (`part` is ""), to that for a model, or to its BUDGETS.
        """
        ...

    def correct(self, reservation: Reservation, changes: Mapping[str, Amounts]) -> Awaitable[Any]:
        """Take over settlements by the ids of their requests, each once, ahead of calls made later."""
        ...


@dataclass(frozen=True, slots=True)
class Handover:
    """Amounts to add to one window or to budgets, by slot.  Its name makes repeating it harmless, until `until_s`."""

    part: Part  # or BUDGETS in place of a model
    name: str
    slots: Mapping[int, Amounts]
    until_s: float  # by then all of it has left the window, or the budgets' periods are forgotten


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
        self._heard = LastHeard()
        self._known: dict[str, User] = {}  # users in `_memory`, with the whole limits
        self._levels: dict[Holder, Policy] = {}  # likewise of keys and groups
        self._memory = self._new_memory()
        self._ledger: dict[Part, dict[int, Amounts]] = {}  # amounts by slot, decided here
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
        if reservation.user in self._known:  # else it is part of what will be seeded
            await self._memory.settle(reservation, used, changes)
        if changes and (reservation.is_shared or reservation.is_hard):  # another may settle these too; these move
            self._settlements.append((reservation, changes))
        else:
            self._enter(reservation, used.minus(reservation.amounts))

    async def renew(self, request: str, reservation: Reservation) -> None:
        """See `Limiter.renew`; what counts alone here is counted there again after the absence."""
        if reservation.slot == UNCOUNTED_SLOT:
            return
        if not self._away:
            try:
                await self._primary.renew(request, reservation)
            except LimiterUnavailableError:
                self._leave()
            else:
                return
        if reservation.user in self._known:
            await self._memory.renew(request, reservation)

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`."""
        self._primary.release(reservation)
        self._memory.release(reservation)

    async def usage(self, user: str, key: str = "") -> Usage | None:
        """See `Limiter.usage`."""
        if not self._away:
            try:
                return await self._primary.usage(user, key)
            except LimiterUnavailableError:
                self._leave()
        self._load(Charge(user, NOTHING, key=key))
        return await self._memory.usage(user, key)

    async def group_usage(self, group: str) -> Usage | None:
        """See `Limiter.group_usage`."""
        if not self._away:
            try:
                return await self._primary.group_usage(group)
            except LimiterUnavailableError:
                self._leave()
        if self._when_away != "local" or self._load_level(GROUP, ("", group)) is None:
            raise LimiterUnavailableError(f"group = {group}: the shared limiter is away")
        return await self._memory.group_usage(group)

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
            self._heard.remember(charge, verdict, self._primary.now_s())
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
        verdict = self._memory.decide(charge._replace(rps=self._share(charge.rps)), takes=True)
        if isinstance(verdict, Admitted) and charge.user:
            self._enter(verdict.reservation, verdict.reservation.amounts)
            if verdict.reservation.permits:
                self._primary.take_permits(verdict.reservation)
            verdict = verdict._replace(reservation=verdict.reservation._replace(is_shared=False))
        elif isinstance(verdict, Refused) and verdict.retry_after_s is None:
            empty = MemoryLimiter({charge.user: whole}.get, self._primary.now_s, self._levels.get)
            if isinstance(empty.decide(charge, takes=False), Admitted):  # only the share is too small for it
                return replace(verdict, retry_after_s=AWAY_RETRY_S)
        return verdict

    def _check_alone(self, charge: Charge) -> Verdict:
        if self._when_away == "allow":
            return uncounted(charge)
        self._load(charge)
        return self._memory.decide(charge._replace(rps=self._share(charge.rps)), takes=False)

    def _load(self, charge: Charge) -> User:
        """Bring a user into memory and return the user with the whole limits.  Raises LimiterUnavailableError."""
        if self._when_away == "local" and not charge.user:
            return User("")
        name, user = charge.user, (charge.user,)
        heard = self._heard.of(user)
        if self._when_away != "local" or heard is None:
            raise LimiterUnavailableError(f"user = {name}: the shared limiter is away")
        whole = self._known.get(name)
        if whole is None:
            whole = user_of(name, heard)
            self._seed(USER, user, heard)
            self._memory.seed_permits(user, self._primary.running(user))
        of_model = self._heard.of(user, charge.model) if charge.model not in whole.models else None
        if charge.model and of_model is not None:
            self._memory.seed(user, charge.model, of_model.at_s, of_model.used(MODEL_KINDS, self._primary.share[1]))
            whole = with_model(whole, charge.model, of_model)
        if charge.key:
            self._load_level(KEY, (name, charge.key))
        if whole.group:
            self._load_level(GROUP, ("", whole.group))
        self._known[name] = whole
        return whole

    def _load_level(self, scope: Scope, holder: Holder) -> Policy | None:
        """Bring a key or a group into memory, if it was ever heard of."""
        heard = self._heard.of(holder)
        if holder not in self._levels and heard is not None:
            self._levels[holder] = policy_of(scope, heard)
            self._seed(scope, holder, heard)
        return self._levels.get(holder)

    def _share(self, limit: int | None) -> int | None:
        """Return this replica's part of a limit: all parts together are the limit."""
        index, count = self._primary.share
        return None if limit is None else limit // count + (index < limit % count)

    def _user(self, name: str) -> User | None:
        """Return the user with this replica's share of the limits."""
        whole = self._known.get(name)
        return None if whole is None else whole.scaled(self._share)

    def _level(self, holder: Holder) -> Policy | None:
        """Return a key or a group with this replica's share of the limits."""
        whole = self._levels.get(holder)
        return None if whole is None else whole.scaled(self._share)

    def _seed(self, scope: Scope, holder: Holder, heard: Heard) -> None:
        """Count this replica's share of what all had used."""
        _, count = self._primary.share
        window, budgets, _ = LEVEL_KINDS[scope]
        self._memory.seed(holder, "", heard.at_s, heard.used(window, count))
        if budgets[0] in heard.quotas:
            used = {each: heard.used([kind for kind in budgets if kind.period == each], count) for each in PERIODS}
            self._memory.seed_periods(holder, heard.at_s, used)

    def _new_memory(self) -> MemoryLimiter:
        self._known, self._levels = {}, {}
        return MemoryLimiter(self._user, self._primary.now_s, self._level)

    def _enter(self, reservation: Reservation, change: Amounts) -> None:
        """Write into the ledger, and drop from it what has left the window."""
        user = reservation.holder(USER)
        parts = {(user, ""), (user, reservation.model)}
        parts |= {(reservation.holder(KEY), "")} if reservation.key else set()
        parts |= {(reservation.holder(GROUP), "")} if reservation.group else set()
        for part in parts:
            slots = self._ledger.setdefault(part, {})
            slots[reservation.slot] = slots.get(reservation.slot, NOTHING).plus(change)
            if len(slots) > LIVE_S:
                now_s = self._primary.now_s()
                self._ledger[part] = {slot: held for slot, held in slots.items() if leaves_in_s(end_s(slot), now_s) > 0}
        for scope in reservation.budgets:
            days, day = self._ledger.setdefault((reservation.holder(scope), BUDGETS), {}), day_slot(reservation.slot)
            days[day] = days.get(day, NOTHING).plus(change)

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
        ledger, self._ledger = self._ledger, {}
        kept_s = {BUDGETS: BUDGET_KEEP_S}
        new = [Handover(part, uuid.uuid4().hex, ledger[part], now_s + kept_s.get(part[1], KEEP_S)) for part in ledger]
        self._handovers = [each for each in self._handovers + new if each.until_s > now_s]
        try:
            queued = [self._primary.absorb(*each.part, each.name, each.slots) for each in self._handovers]
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
