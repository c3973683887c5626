"""The one table of the kinds of limits, and the amounts that they count.

Lives here: units, scopes, kinds.  Not here: who has limits, charges and verdicts (limits).

A new kind of a user's limit in the 60 s window is one row in `LIMIT_KINDS` and one field of `User`, and if it counts
what nothing counted before, one field of `Amounts`.  From these derive the stored record, the REST bodies, the
arguments and replies of the Lua scripts, both limiters, errors, headers and metric labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

WINDOW_S = 60
"""A limit per minute means never more than N in any WINDOW_S seconds (docs/contracts.md section 3)."""

CONCURRENCY_RETRY_S = 1.0
"""Seconds until a client asks again for a permit: a stream's end cannot be foreseen (chosen)."""


class Amounts(NamedTuple):
    """How much a request uses of each unit, or several requests together.  The fields' names are the units' names.

    No unit of a window has a default: a place that forgets a new one is a type error instead of a charge of nothing.
    """

    requests: int
    tokens: int
    """Tokens of prompt and output together."""
    cost: int = 0
    """Money, in NANO of the currency of the prices; only budgets count it."""

    @property
    def window(self) -> tuple[int, int]:
        """The amounts of WINDOW_UNITS."""
        return self.requests, self.tokens

    def plus(self, other: "Amounts") -> "Amounts":
        """Return the sum."""
        return Amounts(self.requests + other.requests, self.tokens + other.tokens, self.cost + other.cost)

    def minus(self, other: "Amounts") -> "Amounts":
        """Return the difference; it may be below zero."""
        return Amounts(self.requests - other.requests, self.tokens - other.tokens, self.cost - other.cost)


UNITS = Amounts._fields
"""The names of the units."""
WINDOW_UNITS = ("requests", "tokens")
"""The first of UNITS: those that windows count."""
NOTHING = Amounts(0, 0)
"""No request, no tokens, no money."""
NANO = 10**9
"""Parts of the currency's unit: money is counted in these, and written as a decimal number of the unit."""


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
KEY = Scope("key_", "the API key of user: {user} has exceeded {limit_name}: {limit}")
"""The requests with one of the user's API keys."""
GROUP = Scope("group_", "the group of user: {user} has exceeded {limit_name}: {limit}")
"""The requests of all users of a group."""
LEVELS = (USER, KEY, GROUP)
"""The scopes of who has limits of requests, tokens, concurrency and budgets."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LimitKind:
    """One row of the table.  Kinds are compared by identity."""

    field: str
    """The name of the limit in the record of who has it and in REST bodies; for a model, of its setting."""
    scope: Scope
    meaning: str
    """The beginning of its description in REST schemas."""
    unit: str = ""
    """The field of `Amounts` that is counted in a window; empty = running requests are counted, without a window."""
    period: str = ""
    """The calendar's period, in UTC, that a budget counts in place of the window: `day` or `month`; "" = no budget."""
    always_shown: bool = False
    """Whether records, REST answers and responses show the kind where it has no limit, as AIBrix's clients expect."""

    def __repr__(self) -> str:
        return f"LimitKind({self.name})"

    @property
    def name(self) -> str:
        """The metric label, and the name inside Lua and in its replies."""
        return self.scope.prefix + ("budget_" if self.period else "") + self.field

    @property
    def error_header(self) -> str:
        """The response header that is `true` when this limit refused a request."""
        return f"x-error-{'budget' if self.period else self.field}-exceeded"

    @property
    def shown_name(self) -> str:
        """The name of the limit in messages."""
        return self.field.upper() + (" BUDGET" if self.period else "")

    def of(self, amounts: Amounts) -> int:
        """Return the amount that this limit bounds.  Precondition: it has a unit."""
        amount: int = getattr(amounts, self.unit)
        return amount

    def shown(self, amount: int) -> int | float:
        """Return an amount as records and clients have it: money in the currency's unit."""
        return amount / NANO if self.unit == "cost" else amount

    def message(self, user: str, model: str, limit: int) -> str:
        """Return the error message of a request that exceeded the limit."""
        return self.scope.message.format(user=user, model=model, limit_name=self.shown_name, limit=self.shown(limit))


RPM = LimitKind("rpm", USER, "Requests in any 60 seconds", "requests", always_shown=True)
TPM = LimitKind("tpm", USER, "Tokens in any 60 seconds, prompt and output together", "tokens", always_shown=True)
MODEL_RPM = LimitKind("rpm", USER_AND_MODEL, "Requests in any 60 seconds", "requests", always_shown=True)
MODEL_TPM = LimitKind("tpm", USER_AND_MODEL, "Tokens in any 60 seconds", "tokens", always_shown=True)
RPS = LimitKind("rps", MODEL, "Requests in any second", "requests")
CONCURRENCY = LimitKind("concurrency", USER, "Requests at the same time")


def _level_kinds(scope: Scope) -> tuple[LimitKind, ...]:
    """Return the limits per minute of a key or a group."""
    return (
        LimitKind("rpm", scope, "Requests in any 60 seconds", "requests"),
        LimitKind("tpm", scope, "Tokens in any 60 seconds, prompt and output together", "tokens"),
    )


def _budgets(scope: Scope) -> tuple[LimitKind, ...]:
    """Return the budgets of a level, in the order in which both limiters look at them."""
    return (
        LimitKind("day", scope, "Tokens in a day, UTC", "tokens", "day"),
        LimitKind("cost_day", scope, "Money in a day, UTC, in the currency of the prices", "cost", "day"),
        LimitKind("month", scope, "Tokens in a month, UTC", "tokens", "month"),
        LimitKind("cost_month", scope, "Money in a month, UTC, in the currency of the prices", "cost", "month"),
    )


USER_KINDS = (RPM, TPM)
"""The limits of the user's window."""
MODEL_KINDS = (MODEL_RPM, MODEL_TPM)
"""The limits of the user's window for one model, and what a record may hold for each model."""
KEY_KINDS, GROUP_KINDS = _level_kinds(KEY), _level_kinds(GROUP)
"""The limits of the windows of a key and of a group."""
USER_BUDGETS, KEY_BUDGETS, GROUP_BUDGETS = map(_budgets, LEVELS)
"""The budgets of each level."""
KEY_CONCURRENCY, GROUP_CONCURRENCY = (replace(CONCURRENCY, scope=scope) for scope in (KEY, GROUP))
LEVEL_KINDS = {
    USER: (USER_KINDS, USER_BUDGETS, CONCURRENCY),
    KEY: (KEY_KINDS, KEY_BUDGETS, KEY_CONCURRENCY),
    GROUP: (GROUP_KINDS, GROUP_BUDGETS, GROUP_CONCURRENCY),
}
"""By level the limits of its window, its budgets, and its limit of running requests."""

LIMIT_KINDS = (
    *(*USER_KINDS, *MODEL_KINDS, *KEY_KINDS, *GROUP_KINDS),
    *(*USER_BUDGETS, *KEY_BUDGETS, *GROUP_BUDGETS),
    *(RPS, CONCURRENCY, KEY_CONCURRENCY, GROUP_CONCURRENCY),
)
"""Every kind.  Of several limits in a request's way with equal waits, the first of the table is named to the client."""

USER_FIELDS = (*USER_KINDS, CONCURRENCY)
"""The limits that a user's record has for all models together; those of keys and groups have the same names."""
BUDGET_FIELDS = tuple(kind.field for kind in USER_BUDGETS)
"""The members of `budgets` in every record that has them."""

Limits = Mapping[LimitKind, int | None]
"""The limits of one window or period, in the order of the table.  None = unlimited, 0 = nothing allowed."""
