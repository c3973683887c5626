"""vtc-basic: users who have used more are kept to fewer pods, and load still counts.

Lives here: the users' counters and the score.  Not here: waiting in the gateway.
After the virtual token counters of Sheng et al. (OSDI'24), which order a queue; here there is none, so the counter
places a user in the row of pods: the heaviest at its end, the lightest at its beginning.

All counters fade alike, so a *level* is kept instead, the logarithm of what a counter would be had it faded since time
0: it changes only when its user does something, and the highest one is known without looking at all.
"""

from math import exp, inf, log
from typing import ClassVar

from routing.scoring import Scoring
from routing.strategy import Finished, Tools
from routing.types import Candidates, RouteRequest, Scored

WINDOW_S = 60.0
"""What lies this far back counts 1/e (chosen: that of the limits)."""
USERS = 10_000
"""Counters kept at most; the one touched longest ago goes first (chosen)."""


class VtcBasic(Scoring):
    """Distance between the user's place and the pod's, plus the pod's share of the requests in flight."""

    name: ClassVar[str] = "vtc-basic"
    unit: ClassVar[str] = "distance + load"
    parts: ClassVar[tuple[str, ...]] = ("distance", "load")

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._output_weight = tools.output_weight
        self._levels: dict[str, float] = {}  # by user, in the order of touch
        self._highest = -inf

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        level = self._levels.get(request.user)
        place = 0.0 if level is None else exp(level - self._highest)
        last = max(1, len(candidates) - 1)
        busiest = max(1, *(pod.in_flight for pod in candidates))
        order = sorted(range(len(candidates)), key=lambda index: candidates[index].endpoint.id)
        parts = [(0.0, 0.0)] * len(candidates)
        for rank, index in enumerate(order):
            parts[index] = (abs(rank / last - place), candidates[index].in_flight / busiest)
        return Scored(candidates, [sum(both) for both in parts], parts)

    def observe(self, event: Finished) -> None:
        """Count what a user has really used."""
        user, faded = event.request.user, event.now_s / WINDOW_S
        tokens = exp(self._levels.pop(user, -inf) - faded) + event.cost(self._output_weight)
        if not tokens:
            return
        self._levels[user] = level = log(tokens) + faded
        self._highest = max(self._highest, level)
        if len(self._levels) > USERS and self._levels.pop(next(iter(self._levels))) == self._highest:
            self._highest = max(self._levels.values())
