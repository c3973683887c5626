"""Rate-limit headers from a verdict's quotas: OpenAI's six, the IETF pair, and x-update-*.

Sources: OpenAI's rate-limit guide for the first; draft-ietf-httpapi-ratelimit-headers-10 (structured fields, RFC 9651)
for `RateLimit-Policy` and `RateLimit`.  A kind without a limit has no header.
"""

import math

from ratelimit.limits import WINDOW_S, Quota

MS_PER_S = 1000


def limit_headers(requests: Quota, tokens: Quota) -> dict[str, str]:
    """Header name to value; `x-update-*` are the use including this request."""
    headers: dict[str, str] = {}
    policies, states = [], []
    for kind, short, quota in (("requests", "rpm", requests), ("tokens", "tpm", tokens)):
        headers[f"x-update-{short}"] = str(quota.used)
        if quota.limit is None:
            continue
        headers[f"x-ratelimit-limit-{kind}"] = str(quota.limit)
        headers[f"x-ratelimit-remaining-{kind}"] = str(quota.remaining)
        headers[f"x-ratelimit-reset-{kind}"] = duration(quota.reset_s)
        policies.append(f'"{short}";q={quota.limit};w={WINDOW_S}')
        states.append(f'"{short}";r={quota.remaining};t={math.ceil(quota.reset_s)}')
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
