"""vtc-basic: users who have used more are kept to fewer pods, and load still counts.

Lives here: the users' counters and the score.  Not here: waiting in the gateway.
After the virtual token counters of Sheng et al. (OSDI'24), which order a queue; here there is none, so the counter
places a user in the row of pods: the heaviest at its end, the lightest at its beginning.
"""

from math import exp
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
        self._counters: dict[str, tuple[float, float]] = {}  # user -> weighted tokens, when; in the order of touch
        self._most = (0.0, 0.0)  # the largest of them: all fade alike, so it stays the largest until one outgrows it

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: D102  the base says it
        most = _faded(self._most, now_s)
        place = _faded(self._counters.get(request.user, (0.0, now_s)), now_s) / most if most else 0.0
        last = max(1, len(candidates) - 1)
        busiest = max(1, *(pod.in_flight for pod in candidates))
        order = sorted(range(len(candidates)), key=lambda index: candidates[index].endpoint.id)
        parts = [(0.0, 0.0)] * len(candidates)
        for rank, index in enumerate(order):
            parts[index] = (abs(rank / last - place), candidates[index].in_flight / busiest)
        return Scored(candidates, [sum(both) for both in parts], parts)

    def observe(self, event: Finished) -> None:
        """Count what a user has really used."""
        user, now_s = event.request.user, event.now_s
        tokens = _faded(self._counters.pop(user, (0.0, now_s)), now_s) + event.cost(self._output_weight)
        self._counters[user] = (tokens, now_s)
        if tokens >= _faded(self._most, now_s):
            self._most = (tokens, now_s)
        if len(self._counters) > USERS:
            del self._counters[next(iter(self._counters))]


def _faded(counter: tuple[float, float], now_s: float) -> float:
    tokens, then_s = counter
    return tokens * exp(min(0.0, then_s - now_s) / WINDOW_S)
