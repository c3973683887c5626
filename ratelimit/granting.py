"""How much of a charge is asked for: guesses shrink to what could ever be admitted, upper bounds to what is left.

Lives here: pure arithmetic.  Not here: limits and their use (memory), the same rules inside Redis (redis/lua).
"""

import math
from collections.abc import Sequence

from ratelimit.kinds import Amounts, LimitKind, Limits
from ratelimit.limits import Bounds, Charge


def within(charge: Charge, amounts: Amounts, limits: Limits) -> Amounts:
    """Return `amounts` of a charge under limits: a guess shrinks to what an empty window or period allows.

    So no guess refuses a request for ever; what is certain may.
    """
    certain = charge.certain
    if certain is None:
        return amounts
    for kind, limit in limits.items():
        if limit is not None and kind.of(amounts) > limit:
            amounts = amounts._replace(**{kind.unit: max(limit, kind.of(certain))})
    return amounts


def granted(bounds: Bounds, left: Sequence[tuple[LimitKind, int]]) -> Amounts:
    """Return what is granted of bounds where so much is `left` under each limit, at least what they need."""
    tokens = bounds.granting(bounds.most.tokens).tokens
    for kind, amount in left:
        if kind.unit == "tokens":
            tokens = min(tokens, amount)
        elif kind.unit == "cost" and bounds.token_cost > 0:
            tokens = min(tokens, bounds.prompt.tokens + _affordable(amount - bounds.prompt.cost, bounds.token_cost))
    return bounds.granting(max(tokens, bounds.least.tokens))


def _affordable(money: int, token_cost: float) -> int:
    """Return how many tokens cost no more than `money`, which may be below zero."""
    tokens = math.floor(money / token_cost)
    return tokens - 1 if math.ceil(tokens * token_cost) > money else tokens
