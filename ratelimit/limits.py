"""The vocabulary of limits: the one table of their kinds, and the seam every limiter implements.

Lives here: values and the `Limiter` protocol.  Not here: window arithmetic (window), Redis (redis.limiter).

A new kind of a user's limit in the 60 s window is one row in `LIMIT_KINDS` and one field of `User`, and if it counts
what nothing counted before, one field of `Amounts`.  From these derive the stored record, the REST bodies, the
arguments and replies of the Lua scripts, both limiters, errors, headers and metric labels.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

WINDOW_S = 60
"""A limit per minute means never more than N in any WINDOW_S seconds (docs/contracts.md section 3)."""

CONCURRENCY_RETRY_S = 1.0
"""Seconds until a client asks again for a permit: a stream's end cannot be foreseen (chosen)."""

MAX_NAME_BYTES = 256
"""The longest user name, in bytes of UTF-8 (docs/contracts.md section 2)."""
MAX_LIMIT = 2**53
"""The largest integer that Lua's and JSON's numbers hold exactly; a larger limit is malformed, a larger charge counts
as this."""


class Amounts(NamedTuple):
    """How much a request uses of each unit, or several requests together.  The fields' names are the units' names.

    No unit has a default: a place that forgets a new one is a type error instead of a charge of nothing.
    """

    requests: int
    tokens: int
    """Tokens of prompt and output together."""

    def plus(self, other: "Amounts") -> "Amounts":
        """Return the sum."""
        return Amounts(self.requests + other.requests, self.tokens + other.tokens)

    def minus(self, other: "Amounts") -> "Amounts":
        """Return the difference; it may be below zero."""
        return Amounts(self.requests - other.requests, self.tokens - other.tokens)


UNITS = Amounts._fields
"""The names of the units."""
NOTHING = Amounts(0, 0)
"""No request and no tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """The requests that a limit counts together."""

    prefix: str
    """The beginning of the names of its kinds."""
    message: str
    """The error message of a limit that is exceeded, a template."""


USER = Scope("", "user: {user} has exceeded {limit_name}: {limit}")
USER_AND_MODEL = Scope("model_", "user: {user} has exceeded {limit_name} for model {model}: {limit}")
"""The user's requests for one model."""
MODEL = Scope("", "model: {model} has exceeded {limit_name}: {limit}")
"""All users' requests for one model."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LimitKind:
    """One row of the table.  Kinds are compared by identity."""

    field: str
    """The name of the limit in the user's record and in REST bodies; for a model, of its setting."""
    scope: Scope
    meaning: str
    """The beginning of its description in REST schemas."""
    unit: str = ""
    """The field of `Amounts` that is counted in a window; empty = running requests are counted, without a window."""
    always_shown: bool = False
    """Whether records, REST answers and responses show the kind where it has no limit, as AIBrix's clients expect."""

    def __repr__(self) -> str:
        return f"LimitKind({self.name})"

    @property
    def name(self) -> str:
        """The metric label, and the name inside Lua and in its replies."""
        return self.scope.prefix + self.field

    @property
    def error_header(self) -> str:
        """The response header that is `true` when this limit refused a request."""
        return f"x-error-{self.field}-exceeded"

    def of(self, amounts: Amounts) -> int:
        """Return the amount that this limit bounds.  Precondition: it has a unit."""
        amount: int = getattr(amounts, self.unit)
        return amount

    def message(self, user: str, model: str, limit: int) -> str:
        """Return the error message of a request that exceeded the limit."""
        return self.scope.message.format(user=user, model=model, limit_name=self.field.upper(), limit=limit)


RPM = LimitKind("rpm", USER, "Requests in any 60 seconds", "requests", always_shown=True)
TPM = LimitKind("tpm", USER, "Tokens in any 60 seconds, prompt and output together", "tokens", always_shown=True)
MODEL_RPM = LimitKind("rpm", USER_AND_MODEL, "Requests in any 60 seconds", "requests", always_shown=True)
MODEL_TPM = LimitKind("tpm", USER_AND_MODEL, "Tokens in any 60 seconds", "tokens", always_shown=True)
RPS = LimitKind("rps", MODEL, "Requests in any second", "requests")
CONCURRENCY = LimitKind("concurrency", USER, "Requests at the same time")

LIMIT_KINDS = (RPM, TPM, MODEL_RPM, MODEL_TPM, RPS, CONCURRENCY)
"""Every kind.  Of several limits in a request's way with equal waits, the first of the table is named to the client."""

USER_FIELDS = tuple(kind for kind in LIMIT_KINDS if kind.scope is USER)
"""The limits that a user's record has for all models together."""
USER_KINDS = tuple(kind for kind in USER_FIELDS if kind.unit)
"""The limits of the user's window."""
MODEL_KINDS = tuple(kind for kind in LIMIT_KINDS if kind.scope is USER_AND_MODEL)
"""The limits of the user's window for one model, and what a record may hold for each model."""

Limits = Mapping[LimitKind, int | None]
"""The limits of one window, in the order of the table.  None = unlimited, 0 = nothing allowed."""


class Rates(NamedTuple):
    """A user's limits for one model: a field per kind in MODEL_KINDS.  None = unlimited, 0 = nothing allowed."""

    rpm: int | None = None
    tpm: int | None = None

    @property
    def window(self) -> Limits:
        """The limits of the user's window for the model."""
        return {kind: getattr(self, kind.field) for kind in MODEL_KINDS}


@dataclass(frozen=True, slots=True)
class User:
    """A stored user: a field per kind in USER_FIELDS.  None = unlimited, 0 = nothing allowed."""

    name: str
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    models: Mapping[str, Rates] = field(default_factory=dict)
    """Further limits on what goes to a model, by its name."""

    @property
    def window(self) -> Limits:
        """The limits of the user's window over all models."""
        return {kind: getattr(self, kind.field) for kind in USER_KINDS}

    def scaled(self, scale: Callable[[int | None], int | None]) -> "User":
        """Return the user with every limit replaced by what `scale` makes of it."""
        limits = {kind.field: scale(getattr(self, kind.field)) for kind in USER_FIELDS}
        models = {model: Rates(*map(scale, rates)) for model, rates in self.models.items()}
        return User(self.name, **limits, models=models)


def shown_limits(limits: User | Rates, kinds: Sequence[LimitKind]) -> dict[str, int | None]:
    """Return limits by field, as records and REST answers have them."""
    values = {kind: getattr(limits, kind.field) for kind in kinds}
    return {kind.field: limit for kind, limit in values.items() if kind.always_shown or limit is not None}


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

    def within(self, limits: Limits) -> Amounts:
        """Return what is charged under a user's limits: a guess shrinks to what an empty window allows.

        So no guess refuses a request for ever; what is certain may.
        """
        amounts, certain = self.amounts, self.certain
        if certain is None:
            return amounts
        for kind, limit in limits.items():
            if limit is not None and kind.of(amounts) > limit:
                amounts = amounts._replace(**{kind.unit: max(limit, kind.of(certain))})
        return amounts


class Quota(NamedTuple):
    """One limit after a verdict.  After `reset_s` all that is used now has left the window; 0 when nothing is used."""

    limit: int | None
    used: int
    reset_s: float

    @property
    def remaining(self) -> int | None:
        """How much may still be used now, never negative; None = unlimited."""
        return None if self.limit is None else max(0, self.limit - self.used)


class Reservation(NamedTuple):
    """The amounts held for a running request, in the slot of the window where it was admitted.

    `model` is set when it is held in the user's window for that model too; `holds_permit` when the request holds one of
    the user's permits (`concurrency`), which `Limiter.release` gives back; `is_shared` unless it is known here alone.
    """

    user: str
    slot: int
    amounts: Amounts
    model: str = ""
    holds_permit: bool = False
    is_shared: bool = True


UNCOUNTED_SLOT = -1
"""The slot of a reservation that nobody counts; settling it does nothing."""

Quotas = Mapping[LimitKind, Quota]
"""The user's quotas after a verdict: all USER_KINDS, and all MODEL_KINDS when the user has limits for the model."""


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
    """A user's use of the window over all models now: a quota for each of USER_KINDS."""

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
        Where any replica may learn of a request's end, `changes` has the difference for each request by its id: a
        shared limiter applies that of an id once, whoever brings it.
        Raises LimiterUnavailableError.
        """
        ...

    def release(self, reservation: Reservation) -> None:
        """Give the permit of a reservation back, once, when its request ends; do nothing when it has none."""
        ...

    async def usage(self, user: str) -> Usage | None:
        """Return the user's use of the window now; None = unknown user.

        Raises LimiterUnavailableError, MalformedUserError.
        """
        ...
