"""What most strategies are: give each candidate a score; the lowest wins, equals in random order.

Lives here: choosing and ranking by scores.  Not here: any score (strategies).
"""

from collections.abc import Sequence
from math import inf
from typing import ClassVar

from routing.strategy import Finished, Tools
from routing.types import Candidates, Decision, Rng, RouteRequest, Scored, Signal


class Scoring:
    """A strategy that `score`s.  Random ties keep bursts from herding onto one pod."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[Signal]] = frozenset()
    parts: ClassVar[tuple[str, ...]] = ()
    """What `part_names` says."""
    unit: ClassVar[str] = ""
    """Of the score, for the reason."""
    stand_in: ClassVar[str] = ""
    """The same of what stands in for it."""

    def __init__(self, tools: Tools) -> None:
        self._rng = tools.rng
        self._wanted = 1 + tools.fallbacks

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:
        """Return a score of each candidate, or of those worth a look."""
        raise NotImplementedError

    def part_names(self) -> tuple[str, ...]:
        """Return what `Scored.parts` mean, in order."""
        return self.parts

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:
        """Return the candidate of the lowest score; the fallbacks are the next lowest."""
        scored = self.score(request, candidates, now_s)
        ranked = lowest(scored.scores, self._wanted, self._rng)
        reason = self.reason(request, scored, ranked[0])
        if scored.fallback:
            reason = f"{reason}, fallback={scored.fallback}"
        primary, *fallbacks = [scored.pods[index].endpoint for index in ranked]
        return Decision(primary, reason, self.name, tuple(fallbacks), scored.fallback, scored)

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:  # noqa: ARG002  the seam's signature
        """Return why, in a few printable words."""
        least, unit = scored.scores[chosen], self.stand_in if scored.fallback and self.stand_in else self.unit
        return f"{least:.6g} {unit}, {scored.scores.count(least)} of {len(scored.scores)} tied"

    def observe(self, event: Finished) -> None:
        """Nothing to learn: what is counted is on the pods."""


def lowest(scores: Sequence[float], wanted: int, rng: Rng) -> list[int]:
    """Return the positions of the lowest scores in order, equals in random order.  O(scores) for each it returns."""
    if len(scores) == 1:  # as many a model has
        return [0]
    left = list(scores)
    ranked: list[int] = []
    for _ in range(min(wanted, len(left))):
        least = min(left)
        if left.count(least) == 1:
            chosen = left.index(least)
        else:
            tied = [index for index, score in enumerate(left) if score == least and index not in ranked]
            chosen = tied[int(rng.random() * len(tied))]
        ranked.append(chosen)
        left[chosen] = inf
    return ranked


def normalised(scores: Sequence[float]) -> list[float]:
    """Return the scores as shares of the way from the lowest to the highest; equal ones are 0, infinite ones 1."""
    finite = [score for score in scores if score < inf]
    low = min(finite, default=0.0)
    span = max(finite, default=0.0) - low
    return [1.0 if score == inf else (score - low) / span if span else 0.0 for score in scores]
