"""Rate-limit headers from a verdict's quotas: OpenAI's six, the IETF pair, and x-update-*.

Sources: OpenAI's rate-limit guide for the first; draft-ietf-httpapi-ratelimit-headers-10 (structured fields, RFC 9651)
for `RateLimit-Policy` and `RateLimit`.  A kind without a limit has no header.
"""

import math
from typing import NamedTuple

from ratelimit.limits import WINDOW_S, Quota

MS_PER_S = 1000


class Names(NamedTuple):
    """The names of one kind of limit."""

    policy: str
    limit: str
    remaining: str
    reset: str


def _names(kind: str, policy: str) -> Names:
    """OpenAI names limits by kind, the IETF by policy."""
    return Names(f'"{policy}"', *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset")))


REQUESTS, TOKENS = _names("requests", "rpm"), _names("tokens", "tpm")


def limit_headers(requests: Quota, tokens: Quota) -> dict[str, str]:
    """Header name to value; `x-update-*` are the use including this request."""
    headers = {"x-update-rpm": str(requests.used), "x-update-tpm": str(tokens.used)}
    policies, states = [], []
    for names, quota in ((REQUESTS, requests), (TOKENS, tokens)):
        if quota.limit is None:
            continue
        remaining = quota.remaining
        headers[names.limit] = str(quota.limit)
        headers[names.remaining] = str(remaining)
        headers[names.reset] = duration(quota.reset_s)
        policies.append(f"{names.policy};q={quota.limit};w={WINDOW_S}")
        states.append(f"{names.policy};r={remaining};t={math.ceil(quota.reset_s)}")
    if policies:
        headers["ratelimit-policy"] = ", ".join(policies)
        headers["ratelimit"] = ", ".join(states)
    return headers


def duration(seconds: float) -> str:
    """As OpenAI prints it: `0s`, `20ms`, `1s`, `59.52s`, `6m0s`."""
    if seconds <= 0:
        return "0s"
    if (milliseconds := math.ceil(seconds * MS_PER_S)) < MS_PER_S:
        return f"{milliseconds}ms"
    minutes, rest = divmod(math.ceil(seconds * 100) / 100, 60)
    text = f"{rest:.2f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"
