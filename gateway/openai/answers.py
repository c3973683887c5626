"""What Forebay itself says with a 200, in the same shape through the gateway and from the admin REST.

Lives here: the list of models, a user's usage, the answer of a dry run.  Not here: who may ask, errors (openai.errors).
"""

from collections.abc import Iterable
from typing import Any

from ratelimit.limits import WINDOW_S, Admitted, Refused, Usage


def models_list(names: Iterable[str]) -> dict[str, Any]:
    """The models that are served, in OpenAI's shape."""
    served = [{"id": name, "object": "model", "created": 0, "owned_by": "forebay"} for name in names]
    return {"object": "list", "data": served}


def usage_record(usage: Usage) -> dict[str, Any]:
    """Return a user's use of the last WINDOW_S seconds, and the limits it counts against (contracts section 2)."""
    shown = {kind: quota for kind, quota in usage.quotas.items() if kind.always_shown or quota.limit is not None}
    used = {kind.unit: quota.used for kind, quota in shown.items()}
    limits = {kind.field: quota.limit for kind, quota in shown.items()}
    return {"name": usage.name, **used, **limits, "window_s": WINDOW_S}


def check_record(verdict: Admitted | Refused, tokens: int) -> dict[str, Any]:
    """Whether a charge of `tokens` would be admitted, and if not, when.

    `retry_after_s` is null for what is admitted and for what never fits.
    """
    refused = verdict if isinstance(verdict, Refused) else None
    return {
        "admitted": refused is None,
        "kind": refused and refused.kind.name,
        "limit": refused and refused.limit,
        "retry_after_s": refused and refused.retry_after_s,
        "estimated_tokens": tokens,
    }
