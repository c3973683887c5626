"""Least-request routing: send each request to the pod with the fewest in flight.

Lives here: the choice and its tie-break.  Not here: counting in-flight requests (gateway.fleet) or dropping pods that
cannot serve (routing.filters).  Join-shortest-queue; random ties keep bursts from herding onto one pod.
"""

import math
from typing import ClassVar

from routing.strategy import Event
from routing.types import Candidates, Decision, Rng, RouteRequest, Signal

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
        loads: list[float] = [pod.in_flight for pod in candidates]
        least = min(loads)
        tied = loads.count(least)
        primary, *fallbacks = [candidates[index].endpoint for index in self._ranked(loads)]
        return Decision(primary, f"{least} in flight, {tied} of {len(candidates)} tied", self.name, tuple(fallbacks))

    def _ranked(self, loads: list[float]) -> list[int]:
        """Return the positions of the least loads in order, equals in random order.  Consumes `loads`."""
        ranked: list[int] = []
        wanted = min(self._wanted, len(loads))
        while len(ranked) < wanted:
            least = min(loads)
            tied = [index for index, load in enumerate(loads) if load == least]
            chosen = self._rng.sample(tied, min(wanted - len(ranked), len(tied)))
            ranked += chosen
            for index in chosen:
                loads[index] = _TAKEN
        return ranked

    def observe(self, event: Event) -> None:
        """Nothing to learn: the count of what is in flight is on the pod."""
