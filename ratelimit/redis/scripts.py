"""The Lua scripts in lua/, with what they share with Python filled in.

Lives here: making the scripts.  Not here: their arguments and replies (limiter), sending them (batching).

Names in capitals stand in the files for constants and for the table of limit kinds, and are replaced here: in the text
they cost a call nothing, while a table or a function more is a good part of what a script takes.
"""

import re
from collections.abc import Sequence
from importlib import resources

from ratelimit.kinds import (
    CONCURRENCY_RETRY_S,
    MODEL_KINDS,
    NANO,
    UNITS,
    USER_BUDGETS,
    USER_KINDS,
    WINDOW_UNITS,
    LimitKind,
)
from ratelimit.limits import MAX_LIMIT
from ratelimit.periods import DAY_S
from ratelimit.redis.connection import Script
from ratelimit.redis.names import GROUP_KEY_PREFIX
from ratelimit.redis.permits import LEASE_S
from ratelimit.window import KEEP_S, MINUTE, SECOND, Span

BUDGET_KEEP_S = 7 * DAY_S
"""Seconds that the use of a day or a month is kept after its end, for late corrections and for who looks (chosen)."""


def _limits(kinds: Sequence[LimitKind]) -> str:
    """Return a flat list of three values for each limit: its name, its field in a record, its unit's index from 1."""
    return "{ " + ", ".join(f"'{kind.name}', '{kind.field}', {UNITS.index(kind.unit) + 1}" for kind in kinds) + " }"


def _span(span: Span) -> str:
    """Return two arguments: the length of a slot in microseconds, and how many slots a window has."""
    return f"{1_000_000 // span.per_s}, {span.slots}"


def _names_below(kinds: Sequence[LimitKind]) -> str:
    """Return the same without braces for limits of any level; the local `name` begins their names there."""
    of_user = "".join(_limits(kinds).split("{ ")[1:]).removesuffix(" }")
    return re.sub(r"'(\w+)', '(\w+)', ", r"name .. '\1', '\2', ", of_user)


_SLOT_FIELDS = [f"'{unit}'" for unit in WINDOW_UNITS] + [f"'{unit[0]}' .. slot" for unit in WINDOW_UNITS]

CONSTANTS = {
    "UNIT_COUNT": str(len(WINDOW_UNITS)),
    "SLOT_LETTERS": "'" + "".join(unit[0] for unit in WINDOW_UNITS) + "l'",
    "SLOT_FIELDS": ", ".join(_SLOT_FIELDS),
    "SLOT_PAIRS": ", ".join(f"{field}, stored[{i}]" for i, field in enumerate(_SLOT_FIELDS, start=1)),
    "USER_LIMITS": _limits(USER_KINDS),
    "MODEL_LIMITS": _limits(MODEL_KINDS),
    "UNIT_NAMES": "{ " + ", ".join(f"'{unit}'" for unit in WINDOW_UNITS) + " }",
    "LEVEL_LIMITS": _names_below(USER_KINDS),
    "BUDGET_LIMITS": _names_below(USER_BUDGETS),
    "TOKENS": str(UNITS.index("tokens") + 1),
    "COST": str(UNITS.index("cost") + 1),
    "NANO": str(NANO),
    "LONGEST_MONTH_S": str(31 * DAY_S),
    "BUDGET_KEEP_S": str(BUDGET_KEEP_S),
    "GROUP_KEY_PREFIX": GROUP_KEY_PREFIX,
    "GROUPS_ELSEWHERE": "false",
    "REQUESTS": str(WINDOW_UNITS.index("requests") + 1),
    "MINUTE": _span(MINUTE),
    "SECOND": _span(SECOND),
    "MAX_LIMIT": str(MAX_LIMIT),
    "KEEP_S": str(KEEP_S),
    "LEASE_US": str(round(LEASE_S * 1e6)),
    "CONCURRENCY_RETRY_US": str(round(CONCURRENCY_RETRY_S * 1e6)),
    "ORIGINAL_RPM": "100",
    "ORIGINAL_TOKENS": "1000",
    "ZEROS_ARE_DEFAULTS": "false",
}
"""`SLOT_FIELDS` are the fields of a window for the local `slot`: the sum of each unit, then the amount of each in the
slot.  `SLOT_PAIRS` are the same with their values, in this order from the local `stored`.  `ORIGINAL_RPM` is what
AIBrix v0.2.1 takes a stored `rpm` of 0 for, and `ORIGINAL_TOKENS` times `rpm` what it takes a `tpm` of 0 for."""

_NAMES = re.compile(rf"\b({'|'.join(CONSTANTS)})\b")


def script(*names: str, repeatable: bool = True, **constants: str) -> Script:
    """Return the script made of several files in a row; `repeatable` as in Script, `constants` replace CONSTANTS."""
    folder = resources.files("ratelimit.redis") / "lua"
    text = "\n".join((folder / f"{name}.lua").read_text() for name in names)
    return Script.of(_NAMES.sub(lambda name: (CONSTANTS | constants)[name[0]], text), repeatable=repeatable)


_WHOLE_RESERVE = ("window", "periods", "grant", "reserve")

RESERVE = script(*_WHOLE_RESERVE)
SETTLE = script("corrections", "settle", repeatable=False)
MOVE = script("corrections", "window", "move", repeatable=False)
USAGE = script("window", "periods", "usage")
ABSORB = script("window", "absorb")
ABSORB_BUDGETS = script("absorb_budgets")
LEASE = script("window", "lease", repeatable=False)
HEARTBEAT = script("window", "heartbeat")
MODEL_RPS = script("window", "model_rps")

RESERVE_COMPAT = script(*_WHOLE_RESERVE, ZEROS_ARE_DEFAULTS="true")
USAGE_COMPAT = script("window", "periods", "usage", ZEROS_ARE_DEFAULTS="true")
"""The same where zeros in records of AIBrix v0.2.1 mean what they meant there (`compat`)."""

RESERVE_APART = script(*_WHOLE_RESERVE, GROUPS_ELSEWHERE="true")
RESERVE_APART_COMPAT = script(*_WHOLE_RESERVE, GROUPS_ELSEWHERE="true", ZEROS_ARE_DEFAULTS="true")
"""The same on a Redis Cluster, whose other nodes have the groups."""

LIMITER_SCRIPTS = (
    *(RESERVE, RESERVE_COMPAT, RESERVE_APART, RESERVE_APART_COMPAT, USAGE, USAGE_COMPAT),
    *(SETTLE, MOVE, ABSORB, ABSORB_BUDGETS, LEASE, HEARTBEAT, MODEL_RPS),
)
