"""Least-request routing: send each request to the pod with the fewest in flight.

Lives here: the choice and its tie-break.  Not here: counting in-flight requests (gateway.fleet) or dropping pods that
cannot serve (routing.filters).  Join-shortest-queue; random ties keep bursts from herding onto one pod.
"""

import math
from operator import attrgetter
from typing import ClassVar

from routing.strategy import Event
from routing.types import Candidates, Decision, Rng, RouteRequest, Signal

_IN_FLIGHT = attrgetter("in_flight")
_TAKEN = math.inf  # the load of a pod that has been ranked already


class LeastRequest:
    """Fewest in flight; fallbacks are the next fewest."""

    name: ClassVar[str] = "least-request"
    needs: ClassVar[frozenset[Signal]] = frozenset()

    def __init__(self, rng: Rng, fallbacks: int) -> None:
        self._rng = rng
        self._wanted = 1 + fallbacks

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:  # noqa: ARG002  the seam's signature
        """Return the least-loaded candidate.  O(pods), once per distinct load among the pods it names."""
        loads: list[float] = list(map(_IN_FLIGHT, candidates))
        tied = _least(loads)
        reason = f"{loads[tied[0]]} in flight, {len(tied)} of {len(candidates)} tied"
        primary, *fallbacks = [candidates[index].endpoint for index in self._ranked(loads, tied)]
        return Decision(primary, reason, self.name, tuple(fallbacks))

    def _ranked(self, loads: list[float], tied: list[int]) -> list[int]:
        """Return the positions of the least loads in order, equals in random order, `tied` first.  Consumes `loads`."""
        wanted = min(self._wanted, len(loads))
        ranked = self._rng.sample(tied, min(wanted, len(tied)))
        while len(ranked) < wanted:
            for index in ranked:
                loads[index] = _TAKEN
            tied = _least(loads)
            ranked += self._rng.sample(tied, min(wanted - len(ranked), len(tied)))
        return ranked

    def observe(self, event: Event) -> None:
        """Nothing to learn: the count of what is in flight is on the pod."""


def _least(loads: list[float]) -> list[int]:
    """Return the positions of the least load."""
    least = min(loads)
    return [index for index, load in enumerate(loads) if load == least]
