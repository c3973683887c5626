"""Rate-limit headers from a verdict's quotas: OpenAI's three for each unit, the IETF pair, and x-update-*.

Sources: OpenAI's rate-limit guide for the first; draft-ietf-httpapi-ratelimit-headers-10 (structured fields, RFC 9651)
for `RateLimit-Policy` and `RateLimit`.  A kind without a limit has no header.
"""

import math
from functools import lru_cache
from typing import NamedTuple

from ratelimit.kinds import GROUP_KINDS, KEY_KINDS, MODEL_KINDS, NANO, USER_KINDS, WINDOW_S, LimitKind
from ratelimit.limits import Quota, Quotas

MS_PER_S = 1000

PERIODS_S = {"day": 86_400, "month": 31 * 86_400}
"""By period of a budget its longest length; `t` tells when the present one ends."""
COST_PARTS = NANO // 1_000_000
"""Headers tell money in millionths of the currency's unit, because their numbers are whole."""

REMEMBERED = 8192
"""Durations and policies that are kept as text (chosen: a window has 6,000 hundredths of a second)."""

OPENAI_NAMES = ("limit", "remaining", "reset")
"""The parts of `x-ratelimit-<part>-<unit>`."""


class Shown(NamedTuple):
    """The headers about one unit, and the kinds that count it.  OpenAI names limits by unit, the IETF by policy."""

    limit: str
    remaining: str
    reset: str
    update: str
    own: LimitKind
    others: tuple[LimitKind, ...]  # of the model, the key and the group

    @classmethod
    def of(cls, kind: LimitKind) -> "Shown":
        """Return the headers of one of the user's limits."""
        limit, remaining, reset = (f"x-ratelimit-{what}-{kind.unit.replace('_', '-')}" for what in OPENAI_NAMES)
        others = tuple(each for each in (*MODEL_KINDS, *KEY_KINDS, *GROUP_KINDS) if each.unit == kind.unit)
        return cls(limit, remaining, reset, f"x-update-{kind.field}", kind, others)


SHOWN = tuple(Shown.of(kind) for kind in USER_KINDS)
LIMIT_HEADERS = (
    *(header for shown in SHOWN for header in (shown.limit, shown.remaining, shown.reset)),
    "ratelimit-policy",
    "ratelimit",
    *(shown.update for shown in SHOWN),
)
"""Every header that `limit_headers` may return."""


def limit_headers(quotas: Quotas) -> dict[str, str]:
    """Return header names and values; `x-update-*` are the use including this request.

    OpenAI's headers have room for one limit of a unit: of the user's own and those for the model, the key and the group
    of this request, the one with least remaining; the IETF's name all, and budgets.
    """
    headers, policies, states = {}, [], []
    has_others = len(quotas) > len(SHOWN)
    for limit, remaining, reset, update, own_kind, other_kinds in SHOWN:
        own = quotas.get(own_kind)
        if own is None:
            continue
        if own_kind.always_shown or own.limit is not None:
            headers[update] = str(own.used)
        counted, tighter = [(own_kind, own)], own
        for kind in other_kinds if has_others else ():
            other = quotas.get(kind)
            if other is not None:
                counted.append((kind, other))
                tighter = _tighter(tighter, other)
        if tighter.limit is not None:
            headers[limit] = str(tighter.limit)
            headers[remaining] = str(tighter.remaining)
            headers[reset] = duration(tighter.reset_s)
        for kind, quota in counted:
            if quota.limit is not None:
                name, policy = _policy(kind, quota.limit)
                policies.append(policy)
                states.append(f"{name};r={quota.remaining};t={math.ceil(quota.reset_s)}")
    for kind, quota in quotas.items() if has_others else ():
        if kind.period and quota.limit is not None:
            scale = COST_PARTS if kind.unit == "cost" else 1
            name, policy = _policy(kind, quota.limit // scale)
            policies.append(policy)
            states.append(f"{name};r={(quota.remaining or 0) // scale};t={math.ceil(quota.reset_s)}")
    if policies:
        headers["ratelimit-policy"] = ", ".join(policies)
        headers["ratelimit"] = ", ".join(states)
    return headers


@lru_cache(maxsize=REMEMBERED)
def _policy(kind: LimitKind, limit: int) -> tuple[str, str]:
    """Return a limit's name in the IETF's headers, and its policy."""
    name = f'"{kind.name.replace("_", "-")}"'
    window_s = PERIODS_S[kind.period] if kind.period else WINDOW_S
    unit = ';qu="micro"' if kind.unit == "cost" else ""
    return name, f"{name};q={limit}{unit};w={window_s}"


def _tighter(own: Quota, other: Quota) -> Quota:
    if other.remaining is None:
        return own
    return other if own.remaining is None or other.remaining < own.remaining else own


def duration(seconds: float) -> str:
    """Return a duration as OpenAI prints it: `0s`, `20ms`, `1s`, `59.52s`, `6m0s`."""
    if seconds <= 0:
        return "0s"
    if (milliseconds := math.ceil(seconds * MS_PER_S)) < MS_PER_S:
        return f"{milliseconds}ms"
    return _from_hundredths(math.ceil(seconds * 100))


@lru_cache(maxsize=REMEMBERED)
def _from_hundredths(hundredths: int) -> str:
    minutes, rest = divmod(hundredths / 100, 60)
    text = f"{rest:.2f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"
