"""The base of most strategies: each candidate gets a score, and the lowest wins.

Lives here: choosing and ranking by scores.  Not here: the scores (strategies), which of equals is taken (ties).
"""

from collections.abc import Sequence
from math import inf
from typing import ClassVar

from routing.strategy import Finished, Tools
from routing.ties import Ties
from routing.types import Candidates, Decision, RouteRequest, Scored, Signal

ROUNDING = 1.001
"""Factor on a difference of scores that makes up for errors of floating-point numbers."""


class Scoring:
    """Chooses the candidate with the lowest score."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[Signal]] = frozenset()
    counts_users: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ()
    """Names of the parts of a score; `part_names` returns them."""
    unit: ClassVar[str] = ""
    """Unit of the score, for the decision's reason."""
    fallback_unit: ClassVar[str] = ""
    """Unit of the score that is used when `Scored.fallback` is set; empty: the same unit."""

    def __init__(self, tools: Tools) -> None:
        self._rng = tools.rng
        self._ties = tools.ties or Ties(tools.rng)
        self._wanted = 1 + tools.fallbacks

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:
        """Return a score for each candidate, or for a sample of them."""
        raise NotImplementedError

    def part_names(self) -> tuple[str, ...]:
        """Return the names of `Scored.parts`, in order."""
        return self.parts

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:
        """Return the candidate with the lowest score; the fallbacks are the next lowest."""
        scored = self.score(request, candidates, now_s)
        scores = scored.scores
        if self._ties.is_burst:
            scores = blurred(scored, self.one_more(request, scored, scores.index(min(scores))))
        ranked = lowest(scores, self._wanted, self._ties)
        reason = self.reason(request, scored, ranked[0])
        if scored.fallback:
            reason = f"{reason}, fallback={scored.fallback}"
        primary, *fallbacks = [scored.pods[index].endpoint for index in ranked]
        return Decision(primary, reason, self.name, tuple(fallbacks), scored.fallback, scored)

    def one_more(self, request: RouteRequest, scored: Scored, best: int) -> float:  # noqa: ARG002  the seam's signature
        """Return what one more request like this one adds to the score of the pod at `best`; 0 = not known."""
        return 0.0

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:  # noqa: ARG002  the seam's signature
        """Return the reason of the choice, a few words of printable ASCII."""
        lowest_score, unit = (
            scored.scores[chosen],
            self.fallback_unit if scored.fallback and self.fallback_unit else self.unit,
        )
        return f"{lowest_score:.6g} {unit}, {scored.scores.count(lowest_score)} of {len(scored.scores)} tied"

    def observe(self, event: Finished) -> None:
        """Learn nothing: the counts are on the pods."""

    def serve(self, user: str, tokens: float, now_s: float) -> None:
        """Learn nothing."""


def lowest(scores: Sequence[float], wanted: int, ties: Ties) -> list[int]:
    """Return the positions of the lowest scores in order, equals as `ties` says.  O(scores) for each position."""
    if len(scores) == 1:  # many models have one pod
        return [0]
    remaining = list(scores)
    ranked: list[int] = []
    for _ in range(min(wanted, len(remaining))):
        least = min(remaining)
        if remaining.count(least) == 1:
            chosen = remaining.index(least)
        else:
            tied = [index for index, score in enumerate(remaining) if score == least and index not in ranked]
            chosen = ties.choose(tied, len(scores))
        ranked.append(chosen)
        remaining[chosen] = inf
    return ranked


def blurred(scored: Scored, one_more: float) -> Sequence[float]:
    """Return the scores as they count in a burst: those that `one_more` request could make equal are equal.

    Of a burst over several replicas each hears only a part in time.  If it took that part for the whole, it would send
    what is left to the few pods that others happen not to have told of yet, and so would its siblings.  So what may be
    one request of a sibling does not count, and pods with the fewest requests of our own come first.
    """
    if not one_more:
        return scored.scores
    least = min(scored.scores)
    limit = least + one_more * ROUNDING
    return [
        least - one_more / (1 + pod.own_in_flight) if score <= limit else score
        for pod, score in zip(scored.pods, scored.scores, strict=True)
    ]


def normalised(scores: Sequence[float]) -> list[float]:
    """Return the scores scaled so that the lowest is 0 and the highest 1; if all are equal 0, infinite ones 1."""
    finite = [score for score in scores if score < inf]
    low = min(finite, default=0.0)
    span = max(finite, default=0.0) - low
    return [1.0 if score == inf else (score - low) / span if span else 0.0 for score in scores]
