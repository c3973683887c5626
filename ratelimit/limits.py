"""The vocabulary of limits: who has them, charges, verdicts, and the seam every limiter implements.

Lives here: values and the `Limiter` protocol.  Not here: the table of kinds (kinds), window arithmetic (window), Redis
(redis.limiter).
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

from ratelimit.kinds import (
    KEY,
    LEVEL_KINDS,
    MODEL_KINDS,
    USER,
    USER_FIELDS,
    USER_KINDS,
    Amounts,
    LimitKind,
    Limits,
    Scope,
)

MAX_NAME_BYTES = 256
"""The longest user name, in bytes of UTF-8 (docs/contracts.md section 2)."""
MAX_LIMIT = 2**53
"""The largest integer that Lua's and JSON's numbers hold exactly; a larger limit is malformed, a larger charge counts
as this."""

MAX_GRANTED = 10**9
"""The most tokens that a request is granted where nothing bounds it (chosen: a million such are below MAX_LIMIT)."""

Reserve = Literal["expected", "maximum"]
"""How much a request reserves: a guess of what it will use, or the most that it may use, so that limits are hard."""


class Rates(NamedTuple):
    """A user's limits for one model: a field per kind in MODEL_KINDS.  None = unlimited, 0 = nothing allowed."""

    rpm: int | None = None
    tpm: int | None = None

    @property
    def window(self) -> Limits:
        """The limits of the user's window for the model."""
        return {kind: getattr(self, kind.field) for kind in MODEL_KINDS}


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of a level of its own, an API key or a group: a field per kind in USER_FIELDS, and budgets.

    None = unlimited, 0 = nothing allowed.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budgets: Mapping[str, int] = field(default_factory=dict)
    """By the fields in BUDGET_FIELDS; money in NANO of its unit.  What is not there is unlimited."""

    def window(self, scope: Scope) -> Limits:
        """Return the limits of the level's window."""
        return {kind: getattr(self, kind.field) for kind in LEVEL_KINDS[scope][0]}

    def periods(self, scope: Scope) -> Limits:
        """Return all its budgets, or {} where it has none, and none are counted."""
        return {kind: self.budgets.get(kind.field) for kind in LEVEL_KINDS[scope][1]} if self.budgets else {}

    def scaled(self, scale: Callable[[int | None], int | None]) -> "Policy":
        """Return it with every limit replaced by what `scale` makes of it."""
        budgets = {name: scale(limit) or 0 for name, limit in self.budgets.items()}
        return Policy(scale(self.rpm), scale(self.tpm), scale(self.concurrency), budgets)


@dataclass(frozen=True, slots=True)
class User:
    """A stored user: a field per kind in USER_FIELDS.  None = unlimited, 0 = nothing allowed."""

    name: str
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    models: Mapping[str, Rates] = field(default_factory=dict)
    """Further limits on what goes to a model, by its name."""
    budgets: Mapping[str, int] = field(default_factory=dict)
    """As a Policy has them."""
    reserve: Reserve | None = None
    """None = as the charge says."""
    group: str = ""
    """The group whose limits its requests count against too; "" = none."""

    @property
    def policy(self) -> Policy:
        """The limits over all models."""
        return Policy(self.rpm, self.tpm, self.concurrency, self.budgets)

    @property
    def window(self) -> Limits:
        """The limits of the user's window over all models."""
        return self.policy.window(USER)

    def scaled(self, scale: Callable[[int | None], int | None]) -> "User":
        """Return the user with every limit replaced by what `scale` makes of it."""
        own = self.policy.scaled(scale)
        models = {model: Rates(*map(scale, rates)) for model, rates in self.models.items()}
        limits = {kind.field: getattr(own, kind.field) for kind in USER_FIELDS}
        return replace(self, **limits, models=models, budgets=own.budgets)


def shown_limits(limits: User | Policy | Rates, kinds: Sequence[LimitKind]) -> dict[str, int | None]:
    """Return limits by field, as records and REST answers have them."""
    values = {kind: getattr(limits, kind.field) for kind in kinds}
    return {kind.field: limit for kind, limit in values.items() if kind.always_shown or limit is not None}


class Bounds(NamedTuple):
    """The amounts of one request where limits are hard: upper bounds, of which it is granted what is left.

    It is refused when not even `prompt` and one token of the answer are left.
    """

    prompt: Amounts
    most: Amounts
    """The prompt and the largest answer that the request allows."""
    token_cost: float = 0.0
    """The price of a token of the answer, in NANO money."""

    @property
    def least(self) -> Amounts:
        """The amounts without which it is refused."""
        return self.granting(self.prompt.tokens + 1)

    def granting(self, tokens: int) -> Amounts:
        """Return the amounts when so many tokens are granted, of at most `most`."""
        tokens = min(tokens, self.most.tokens, MAX_GRANTED)
        answer_cost = math.ceil(max(0, tokens - self.prompt.tokens) * self.token_cost)
        return Amounts(self.most.requests, tokens, self.prompt.cost + answer_cost)


class Charge(NamedTuple):
    """The charge that a request asks for: one request, and estimates of what else it will use.

    `rps` is the model's limit, from its settings.  Without a user ("") nothing else limits or is counted.
    `certain` is the part of `amounts` that is no guess; None = all of it.
    """

    user: str
    amounts: Amounts
    model: str = ""
    rps: int | None = None
    certain: Amounts | None = None
    key: str = ""
    """The id of the user's API key that the request came with."""
    bounds: Bounds | None = None
    """None = limits cannot be hard for it."""
    reserve: Reserve = "expected"
    """For users whose record does not say which."""


class Quota(NamedTuple):
    """One limit after a verdict.  After `reset_s` all that is used now has left the window; 0 when nothing is used."""

    limit: int | None
    used: int
    reset_s: float

    @property
    def remaining(self) -> int | None:
        """How much may still be used now, never negative; None = unlimited."""
        return None if self.limit is None else max(0, self.limit - self.used)


Holder = tuple[str, ...]
"""The holder of a level's limits: `(user,)`, `(user, key)` or `("", group)`."""

BUDGETS = "\0budgets"
"""Stands where else the model of a window stands, which has no such name: the budgets of a level."""


class Reservation(NamedTuple):
    """The amounts held for a running request, in the slot of the window where it was admitted.

    `model`, `key` and `group` are set when it is held in the windows of those too.  The user's and theirs are one step.
    """

    user: str
    slot: int
    amounts: Amounts
    model: str = ""
    permits: tuple[Scope, ...] = ()
    """The levels of whose `concurrency` the request holds a permit, which `Limiter.release` gives back."""
    is_shared: bool = True
    """False = it is known here alone."""
    key: str = ""
    group: str = ""
    group_slot: int = 0
    """The slot in the group's window, which another node of a Redis Cluster may keep by another clock."""
    budgets: tuple[Scope, ...] = ()
    """The levels in whose budgets it is held, in the day and the month of its slot."""
    is_hard: bool = False
    """Its amounts are upper bounds.  They count while the request runs, and its use counts from its end on."""

    def holder(self, scope: Scope) -> Holder:
        """Return one of the levels that it concerns."""
        if scope is USER:
            return (self.user,)
        return (self.user, self.key) if scope is KEY else ("", self.group)


RENEW_S = 15.0
"""Between two renewals of a hard reservation, in seconds (chosen: three may fail before its slot leaves the window)."""

UNCOUNTED_SLOT = -1
"""The slot of a reservation that nobody counts; settling it does nothing."""

Quotas = Mapping[LimitKind, Quota]
"""The quotas after a verdict: all USER_KINDS, all kinds of the windows that the model, the key and the group have, and
all budgets of each level that has any."""


class Admitted(NamedTuple):
    """The whole charge was taken; the quotas include it."""

    reservation: Reservation
    quotas: Quotas
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken.  In `retry_after_s` seconds the same charge would be admitted; None = never."""

    kind: LimitKind
    limit: int
    retry_after_s: float | None
    quotas: Quotas
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class UnknownUser:
    """There is no such user; nothing was taken."""

    name: str


Verdict = Admitted | Refused | UnknownUser

UNLIMITED: Quotas = dict.fromkeys(USER_KINDS, Quota(limit=None, used=0, reset_s=0.0))
"""The quotas of a charge that is not counted."""


def uncounted(charge: Charge) -> Admitted:
    """Return an admission that counts nothing."""
    return Admitted(Reservation(charge.user, UNCOUNTED_SLOT, charge.amounts), UNLIMITED)


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of a level now: a quota for each limit of its window over all models, and for its budgets if any."""

    name: str
    quotas: Quotas


class LimiterUnavailableError(Exception):
    """The limiter's store did not answer in time; whether the charge was taken is unknown."""


class MalformedUserError(Exception):
    """The value under the user's key is no user record, so the limits are unknown."""


class Limiter(Protocol):
    """Reserves before and settles after.  Both are atomic across replicas.

    The question of `reserve` and `check` leaves when they are called, so work that is done between the call and the
    await costs no time; only a question that concerns several nodes of a Redis Cluster leaves when it is awaited.
    The caller promises to await the answer, once, before it awaits anything else; errors are raised there.  An answer
    that is never awaited leaves its reservation behind, which ends with its window, and nothing else.
    """

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """Take the charge and a permit, under every limit that applies, or nothing at all.

        Awaiting raises LimiterUnavailableError, MalformedUserError.
        """
        ...

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """Answer what `reserve` would; nothing is taken, so an admission's reservation must not be settled.

        Awaiting raises LimiterUnavailableError, MalformedUserError.
        """
        ...

    async def settle(
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        """Replace the reserved amounts by what was really used, in the slot of the reservation.

        Called exactly once per reservation, or once with the sums of several of one user, slot and model; a
        reservation that has left the window changes nothing.  `used` still has the request itself, unless that is given
        back too (docs/contracts.md section 1, upstream errors: one request and no tokens).
        A hard reservation is settled alone, and its use counts from now on, in the budgets of its own day and month.
        Where any replica may learn of a request's end, `changes` has the difference for each request by its id: a
        shared limiter applies that of an id once, whoever brings it.
        Raises LimiterUnavailableError.
        """
        ...

    async def renew(self, request: str, reservation: Reservation) -> None:
        """Let a hard reservation count from now on; called every RENEW_S while its request, by its id, runs.

        So it leaves the window within 60 s of the last call when nobody settles it.  Raises LimiterUnavailableError.
        """
        ...

    def release(self, reservation: Reservation) -> None:
        """Give the permit of a reservation back, once, when its request ends; do nothing when it has none."""
        ...

    async def usage(self, user: str, key: str = "") -> Usage | None:
        """Return a user's use of the window and of budgets now, or that of one of the user's keys; None = unknown.

        Raises LimiterUnavailableError, MalformedUserError.
        """
        ...

    async def group_usage(self, group: str) -> Usage | None:
        """Return a group's use of the window and of budgets now; None = unknown group.

        Raises LimiterUnavailableError, MalformedUserError.
        """
        ...
