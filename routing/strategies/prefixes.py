"""Strategies that look for the pod that holds most of the prompt already.

Lives here: what a held prefix weighs against load.  Not here: who holds what (routing.prefix.index).
"""

from typing import ClassVar

from routing.scoring import Scoring
from routing.types import Candidates, RouteRequest, Scored

HOT = 2.0
HOT_SLACK = 4
"""A pod with more in flight than twice the mean and 4 is a hot spot: others may compute the prompt again (chosen)."""


class PrefixCache(Scoring):
    """Fewest uncached prompt tokens, fewest in flight among equals; a hot spot counts as if it held nothing."""

    name: ClassVar[str] = "prefix-cache"
    unit: ClassVar[str] = "uncached tokens"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        loads = [pod.in_flight for pod in candidates]
        total = sum(loads)
        hot = HOT * total / len(loads) + HOT_SLACK
        whole = max(1.0, request.prompt_tokens)
        scores = [
            (request.uncached_tokens(pod) if load <= hot else whole) + load / (total + 1)  # which is less than a token
            for pod, load in zip(candidates, loads, strict=True)
        ]
        return Scored(candidates, scores, fallback=_unseen(request))

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:
        """Return how much of the prompt the pod holds."""
        held = request.prompt_tokens - request.uncached_tokens(scored.pods[chosen])
        return f"{max(0, held):.0f} of {request.prompt_tokens} tokens held, {scored.pods[chosen].in_flight} in flight"


class PrefixCacheAndLoad(PrefixCache):
    """Fewest tokens to compute before the answer: those that wait on the pod and those of this prompt.

    After Preble (ICLR'25): the cost of recomputing and the cost of load in one unit.
    """

    name: ClassVar[str] = "prefix-cache-and-load"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        scores = [pod.prefill_tokens + request.uncached_tokens(pod) for pod in candidates]
        return Scored(candidates, scores, fallback=_unseen(request))


class PrefixCachePreble(PrefixCacheAndLoad):
    """The same by its other name."""

    name: ClassVar[str] = "prefix-cache-preble"


def _unseen(request: RouteRequest) -> str:
    """A prompt shorter than a block, or of a kind that nobody reads, cannot be found: load alone decides."""
    return "" if request.blocks else "no-blocks"
