"""Strategies that choose at random: uniformly, or the better of two.

Not here: which pods are candidates (routing.filters).
"""

from math import inf
from operator import attrgetter
from typing import ClassVar

from routing.scoring import Scoring
from routing.types import Candidates, Decision, RouteRequest, Scored

_IN_FLIGHT = attrgetter("in_flight")


class RandomChoice(Scoring):
    """Chooses each candidate with the same probability, fallbacks too."""

    name: ClassVar[str] = "random"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [self._rng.random() for _ in candidates])

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:  # noqa: ARG002  the seam's signature
        """Return a random candidate.  O(1) in the number of pods."""
        chosen = self._rng.sample(candidates, min(self._wanted, len(candidates)))
        primary, *fallbacks = [pod.endpoint for pod in chosen]
        return Decision(primary, f"random of {len(candidates)}", self.name, tuple(fallbacks))


class PowerOfTwo(Scoring):
    """Chooses of two random candidates the one with fewer in flight (Mitzenmacher, IEEE TPDS 12(10), 2001)."""

    name: ClassVar[str] = "power-of-two"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        scores = [inf] * len(candidates)
        for index in self._rng.sample(range(len(candidates)), min(2, len(candidates))):
            scores[index] = candidates[index].in_flight
        return Scored(candidates, scores)

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:  # noqa: ARG002  the seam's signature
        """Return the better of two random candidates; fallbacks are random.  O(1) in the number of pods."""
        drawn = self._rng.sample(candidates, min(max(2, self._wanted), len(candidates)))
        drawn[:2] = sorted(drawn[:2], key=_IN_FLIGHT)
        reason = f"{drawn[0].in_flight} in flight, best of {len(drawn[:2])} drawn"
        primary, *fallbacks = [pod.endpoint for pod in drawn[: self._wanted]]
        return Decision(primary, reason, self.name, tuple(fallbacks))
