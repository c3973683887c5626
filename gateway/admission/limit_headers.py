"""Rate-limit headers from a verdict's quotas: OpenAI's six, the IETF pair, and x-update-*.

Sources: OpenAI's rate-limit guide for the first; draft-ietf-httpapi-ratelimit-headers-10 (structured fields, RFC 9651)
for `RateLimit-Policy` and `RateLimit`.  A kind without a limit has no header.
"""

import math
from functools import lru_cache
from typing import NamedTuple

from ratelimit.limits import WINDOW_S, Quota

MS_PER_S = 1000
REMEMBERED = 8192
"""Texts kept; the hundredths of a window are 6,000 (chosen)."""


class Names(NamedTuple):
    """The names of one kind of limit."""

    policy: str
    model_policy: str
    limit: str
    remaining: str
    reset: str


def _names(kind: str, policy: str) -> Names:
    """OpenAI names limits by kind, the IETF by policy."""
    openai = (f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset"))
    return Names(f'"{policy}"', f'"model-{policy}"', *openai)


REQUESTS, TOKENS = _names("requests", "rpm"), _names("tokens", "tpm")


def limit_headers(requests: Quota, tokens: Quota, model: tuple[Quota, Quota] | None = None) -> dict[str, str]:
    """Header name to value; `x-update-*` are the use including this request.

    `model`: the user's quotas for the model of this request.  OpenAI's headers have room for one limit of a kind: the
    one with less remaining; the IETF's name both.
    """
    headers = {"x-update-rpm": str(requests.used), "x-update-tpm": str(tokens.used)}
    policies, states = [], []
    for names, own, of_model in zip((REQUESTS, TOKENS), (requests, tokens), model or (None, None), strict=True):
        shown = _tighter(own, of_model)
        if shown.limit is not None:
            headers[names.limit] = str(shown.limit)
            headers[names.remaining] = str(shown.remaining)
            headers[names.reset] = duration(shown.reset_s)
        for policy, quota in ((names.policy, own), (names.model_policy, of_model)):
            if quota is not None and quota.limit is not None:
                policies.append(_policy(policy, quota.limit))
                states.append(f"{policy};r={quota.remaining};t={math.ceil(quota.reset_s)}")
    if policies:
        headers["ratelimit-policy"] = ", ".join(policies)
        headers["ratelimit"] = ", ".join(states)
    return headers


@lru_cache(maxsize=REMEMBERED)
def _policy(policy: str, limit: int) -> str:
    return f"{policy};q={limit};w={WINDOW_S}"


def _tighter(own: Quota, of_model: Quota | None) -> Quota:
    if of_model is None or of_model.remaining is None:
        return own
    return of_model if own.remaining is None or of_model.remaining < own.remaining else own


def duration(seconds: float) -> str:
    """As OpenAI prints it: `0s`, `20ms`, `1s`, `59.52s`, `6m0s`."""
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
