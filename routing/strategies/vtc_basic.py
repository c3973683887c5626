"""vtc-basic: how much a user has used draws them to a pod, so that heavy users share few pods; load counts too.

Lives here: the users' counters and the score.  Not here: waiting in the gateway (routing.fair_queue).
After the virtual token counters of Sheng et al. (OSDI'24), which order a queue.  Here there is no queue: the counter
places a user among the pods, which are sorted by name, the heaviest user at the last pod and a new one at the first.
"""

from math import exp
from typing import ClassVar

from routing.scoring import Scoring
from routing.strategy import Finished, Tools
from routing.types import Candidates, RouteRequest, Scored

WINDOW_S = 60.0
"""Time constant of the counters' exponential decay, in seconds (chosen: the window of the limits)."""
MAX_USERS = 10_000
"""Maximum number of counters; the one that was updated longest ago is dropped first (chosen)."""


class VtcBasic(Scoring):
    """Adds the distance between the user's place and the pod's to the pod's load relative to the busiest pod."""

    name: ClassVar[str] = "vtc-basic"
    counts_users: ClassVar[bool] = True
    unit: ClassVar[str] = "distance + load"
    parts: ClassVar[tuple[str, ...]] = ("distance", "load")

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._output_weight = tools.output_weight
        self._counters: dict[str, tuple[float, float]] = {}  # user -> (weighted tokens, when), by last update
        self._largest = (0.0, 0.0)  # all counters decay alike, so the largest stays so until another outgrows it

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: D102  the base says it
        largest = _decayed(self._largest, now_s)
        place = _decayed(self._counters.get(request.user, (0.0, now_s)), now_s) / largest if largest else 0.0
        last = max(1, len(candidates) - 1)
        busiest = max(1, *(pod.in_flight for pod in candidates))
        order = sorted(range(len(candidates)), key=lambda index: candidates[index].endpoint.id)
        parts = [(0.0, 0.0)] * len(candidates)
        for rank, index in enumerate(order):
            parts[index] = (abs(rank / last - place), candidates[index].in_flight / busiest)
        return Scored(candidates, [sum(both) for both in parts], parts)

    def observe(self, event: Finished) -> None:
        """Add the request's actual tokens to the user's counter; one that no pod computed was no service."""
        if event.computed:
            self.serve(event.request.user, event.cost(self._output_weight), event.now_s)

    def serve(self, user: str, tokens: float, now_s: float) -> None:
        """Add weighted tokens to the user's counter."""
        tokens += _decayed(self._counters.pop(user, (0.0, now_s)), now_s)
        self._counters[user] = (tokens, now_s)
        if tokens >= _decayed(self._largest, now_s):
            self._largest = (tokens, now_s)
        if len(self._counters) > MAX_USERS:
            del self._counters[next(iter(self._counters))]


def _decayed(counter: tuple[float, float], now_s: float) -> float:
    tokens, updated_s = counter
    return tokens * exp(min(0.0, updated_s - now_s) / WINDOW_S)
