"""Random routing: every candidate is equally likely.

Lives here: the choice.  Not here: who is a candidate (routing.filters).
"""

from typing import ClassVar

from routing.strategy import Event
from routing.types import Candidates, Decision, Rng, RouteRequest, Signal


class RandomChoice:
    """Uniform over the candidates, fallbacks too."""

    name: ClassVar[str] = "random"
    needs: ClassVar[frozenset[Signal]] = frozenset()

    def __init__(self, rng: Rng, fallbacks: int) -> None:
        self._rng = rng
        self._wanted = 1 + fallbacks

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:  # noqa: ARG002  the seam's signature
        """Return a random candidate.  O(1) in the number of pods."""
        chosen = self._rng.sample(candidates, min(self._wanted, len(candidates)))
        primary, *fallbacks = [pod.endpoint for pod in chosen]
        return Decision(primary, f"random of {len(candidates)}", self.name, tuple(fallbacks))

    def observe(self, event: Event) -> None:
        """Nothing to learn."""
