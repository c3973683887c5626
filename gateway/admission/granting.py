"""Hard limits: the most that a request may use, and the maximum of its answer that what it was granted leaves.

Lives here: bounds, and from a grant to the body's maximum.  Not here: how much is left (ratelimit), the change of the
body (gateway.openai.output_limit).
"""

from collections.abc import Sequence

from gateway.accounting.estimates import MIN_TOKENS_PER_BYTE, Estimator, PromptSize
from gateway.openai.request import InferenceRequest
from ratelimit.kinds import Amounts
from ratelimit.limits import Bounds
from ratelimit.prices import FREE, Prices

LARGEST_ANSWER = 1_000_000
"""Tokens of an answer to a request that names no maximum (chosen: above the context of most models)."""


def bounds_of(request: InferenceRequest, size: PromptSize, estimator: Estimator, prices: Prices) -> Bounds | None:
    """Return the most that a request may use; None where its answer cannot be bounded.

    The prompt's part has a token for each answer but one, so that none is left without.
    """
    if not request.can_be_limited:
        return None
    prompt = estimator.most_prompt_tokens(size)
    longest = _longest(request)
    others = request.choices - 1 if longest else 0
    most = prompt + request.choices * longest
    if prices is FREE:
        return Bounds(Amounts(1, prompt + others), Amounts(1, most))
    prompt_cost = prices.most_for_prompt(prompt)
    return Bounds(
        Amounts(1, prompt + others, prompt_cost + prices.cost(0, others)),
        Amounts(1, most, prompt_cost + prices.cost(0, most - prompt)),
        prices.per_output_token,
    )


def granted_to_each(request: InferenceRequest, bounds: Bounds, granted: int) -> int | None:
    """Return the maximum of each answer that the granted tokens leave; None = as much as the request may use."""
    longest = _longest(request)
    each = (granted - bounds.most.tokens) // request.choices + longest
    return None if each >= longest else each


def fitted(each: int, size: PromptSize, prompt_tokens: int, lengths: Sequence[int | None]) -> int | None:
    """Return the maximum to set in a request that names none; None = engines have no larger one.

    Engines refuse a prompt and a maximum that are together more than the model takes, of which `lengths` has what each
    pod says; `prompt_tokens` are those that the prompt is expected to have.
    """
    told = [length for length in lengths if length is not None]
    if not told:
        return each
    least_prompt = size.token_ids + int(size.text_bytes * MIN_TOKENS_PER_BYTE)
    if len(told) == len(lengths) and each >= max(told) - least_prompt:
        return None
    return min(each, max(1, min(told) - prompt_tokens))


def _longest(request: InferenceRequest) -> int:
    return LARGEST_ANSWER if request.max_output_tokens is None else request.max_output_tokens
