"""Strategies that prefer the pod whose prefix cache has most of the prompt.

Lives here: the weight of a cached prefix against load.  Not here: what pods have cached (routing.prefix.index).
"""

from typing import ClassVar

from routing.scoring import Scoring
from routing.types import Candidates, RouteRequest, Scored

HOT_SPOT_FACTOR = 2.0
HOT_SPOT_MARGIN = 4
"""A pod is a hot spot when its requests in flight exceed the factor times the mean plus the margin: then other pods may
compute the prompt again (chosen)."""


class PrefixCache(Scoring):
    """Chooses the pod with the fewest uncached prompt tokens, among equals the one with the fewest requests in flight.

    A hot spot counts as if it had nothing cached.
    """

    name: ClassVar[str] = "prefix-cache"
    unit: ClassVar[str] = "uncached tokens"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        loads = [pod.in_flight for pod in candidates]
        total = sum(loads)
        max_load = HOT_SPOT_FACTOR * total / len(loads) + HOT_SPOT_MARGIN
        whole = max(1.0, request.prompt_tokens)
        scores = [
            (request.uncached_tokens(pod) if load <= max_load else whole) + load / (total + 1)  # less than one token
            for pod, load in zip(candidates, loads, strict=True)
        ]
        return Scored(candidates, scores, fallback=_fallback(request))

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:
        """Return how much of the prompt the pod has cached, and its requests in flight."""
        cached = request.prompt_tokens - request.uncached_tokens(scored.pods[chosen])
        return f"{max(0, cached):.0f} of {request.prompt_tokens} tokens held, {scored.pods[chosen].in_flight} in flight"


class PrefixCacheAndLoad(PrefixCache):
    """Chooses the pod with the fewest tokens to compute before the first token: earlier prompts' and this one's.

    After Preble (ICLR'25): the cost of recomputing and the cost of load in one unit.
    """

    name: ClassVar[str] = "prefix-cache-and-load"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        scores = [pod.prefill_tokens + request.uncached_tokens(pod) for pod in candidates]
        return Scored(candidates, scores, fallback=_fallback(request))


class PrefixCachePreble(PrefixCacheAndLoad):
    """The same strategy by its other name."""

    name: ClassVar[str] = "prefix-cache-preble"


def _fallback(request: RouteRequest) -> str:
    """Return why load alone decides, if it does: the prompt has no full block, or is of a kind that is not hashed."""
    return "" if request.blocks else "no-blocks"
