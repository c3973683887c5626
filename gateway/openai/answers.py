"""The JSON that Forebay answers itself with status 200, the same on the data plane and on the admin REST.

Lives here: the list of models, a user's usage, the result of a dry run.  Not here: who may ask (gateway.admission),
errors (openai.errors).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ratelimit.kinds import WINDOW_S, LimitKind
from ratelimit.limits import Admitted, Quota, Refused, Usage


class ModelCard(NamedTuple):
    """One model that is served."""

    name: str
    created_s: int  # Unix time since when the gateway knows it
    max_model_len: int | None = None  # tokens of prompt and answer, as the engines say; None = they have not said it

    def shown(self) -> dict[str, Any]:
        """Return the model in OpenAI's shape, with vLLM's `max_model_len`."""
        length = {} if self.max_model_len is None else {"max_model_len": self.max_model_len}
        return {"id": self.name, "object": "model", "created": self.created_s, "owned_by": "forebay", **length}


def models_list(cards: Iterable[ModelCard]) -> dict[str, Any]:
    """Return the list of models in OpenAI's shape."""
    return {"object": "list", "data": [card.shown() for card in cards]}


def usage_record(usage: Usage) -> dict[str, Any]:
    """Return the usage of the last WINDOW_S seconds, its limits, and budgets (docs/contracts.md section 2)."""
    shown = {kind: quota for kind, quota in usage.quotas.items() if kind.always_shown or quota.limit is not None}
    windows = {kind: quota for kind, quota in shown.items() if not kind.period}
    used = {kind.unit: quota.used for kind, quota in windows.items()}
    limits = {kind.field: quota.limit for kind, quota in windows.items()}
    budgets = {kind.field: _budget(kind, quota) for kind, quota in shown.items() if kind.period}
    record = {"name": usage.name, **used, **limits, "window_s": WINDOW_S}
    return {**record, "budgets": budgets} if budgets else record


def _budget(kind: LimitKind, quota: Quota) -> dict[str, Any]:
    """Return what was used of a budget and what is left, money in the currency's unit."""
    amounts = {"limit": quota.limit or 0, "used": quota.used, "remaining": quota.remaining or 0}
    return {**{name: kind.shown(amount) for name, amount in amounts.items()}, "reset_s": quota.reset_s}


def check_record(verdict: Admitted | Refused, tokens: int) -> dict[str, Any]:
    """Return whether a charge of `tokens` would be admitted now, and if not, when.

    `retry_after_s` is null for a charge that is admitted, and for one that the limit never admits.
    """
    refused = verdict if isinstance(verdict, Refused) else None
    return {
        "admitted": refused is None,
        "kind": refused and refused.kind.name,
        "limit": refused and refused.kind.shown(refused.limit),
        "retry_after_s": refused and refused.retry_after_s,
        "estimated_tokens": tokens,
    }
