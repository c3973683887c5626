"""The Lua scripts in lua/, with what they share with Python filled in.

Lives here: making the scripts.  Not here: their arguments and replies (limiter), sending them (batching).

Names in capitals stand in the files for constants and for the table of limit kinds, and are replaced here: in the text
they cost a call nothing, while a table or a function more is a good part of what a script takes.
"""

import re
from collections.abc import Sequence
from importlib import resources

from ratelimit.kinds import CONCURRENCY_RETRY_S, MODEL_KINDS, UNITS, USER_KINDS, WINDOW_UNITS, LimitKind
from ratelimit.limits import MAX_LIMIT
from ratelimit.redis.connection import Script
from ratelimit.redis.permits import LEASE_S
from ratelimit.window import KEEP_S, MINUTE, SECOND, Span


def _limits(kinds: Sequence[LimitKind]) -> str:
    """Return a flat list of three values for each limit: its name, its field in a record, its unit's index from 1."""
    return "{ " + ", ".join(f"'{kind.name}', '{kind.field}', {UNITS.index(kind.unit) + 1}" for kind in kinds) + " }"


def _span(span: Span) -> str:
    """Return two arguments: the length of a slot in microseconds, and how many slots a window has."""
    return f"{1_000_000 // span.per_s}, {span.slots}"


_SLOT_FIELDS = [f"'{unit}'" for unit in WINDOW_UNITS] + [f"'{unit[0]}' .. slot" for unit in WINDOW_UNITS]

CONSTANTS = {
    "UNIT_COUNT": str(len(WINDOW_UNITS)),
    "SLOT_LETTERS": "'" + "".join(unit[0] for unit in WINDOW_UNITS) + "l'",
    "SLOT_FIELDS": ", ".join(_SLOT_FIELDS),
    "SLOT_PAIRS": ", ".join(f"{field}, stored[{i}]" for i, field in enumerate(_SLOT_FIELDS, start=1)),
    "USER_LIMITS": _limits(USER_KINDS),
    "MODEL_LIMITS": _limits(MODEL_KINDS),
    "UNIT_NAMES": "{ " + ", ".join(f"'{unit}'" for unit in WINDOW_UNITS) + " }",
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


RESERVE = script("window", "reserve")
SETTLE = script("settle", repeatable=False)
USAGE = script("window", "usage")
ABSORB = script("window", "absorb")
LEASE = script("window", "lease", repeatable=False)
HEARTBEAT = script("window", "heartbeat")
MODEL_RPS = script("window", "model_rps")

RESERVE_COMPAT = script("window", "reserve", ZEROS_ARE_DEFAULTS="true")
USAGE_COMPAT = script("window", "usage", ZEROS_ARE_DEFAULTS="true")
"""The same where zeros in records of AIBrix v0.2.1 mean what they meant there (`compat`)."""

LIMITER_SCRIPTS = (RESERVE_COMPAT, USAGE_COMPAT, RESERVE, SETTLE, USAGE, ABSORB, LEASE, HEARTBEAT, MODEL_RPS)
