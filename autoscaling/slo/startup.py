"""How long pods take to start, learned from pods that were ordered and turned ready.

Lives here: the ages of the pods that start.  Not here: what follows from them (deciding).
"""

import msgspec

from autoscaling.observation import Observation

PRIOR_S = 120.0
"""Assumed until two pods were seen to turn ready: too long costs a little once, too short loses the first rise.
With 60 s a wave that was a day long lost 1.4 points in trials, with this 0.3."""
LONGEST_S = 600.0
"""Bound in seconds: a pod that never starts must not stretch the horizon without end (chosen)."""
OLD = 0.7
"""Weight of the old value where a pod was faster: a slow start counts at once, a fast one little by little, because
too short is late and too long only costs (chosen)."""
MOST_ORDERS = 1000
"""Orders that are remembered (chosen)."""


class Startup(msgspec.Struct):
    """The learned start-up time, and the orders that have not turned ready."""

    longest_s: float = 0.0
    seen: int = 0
    """Pods that were seen to turn ready."""
    orders_s: list[float] = []
    """Times of the orders of the pods that are starting, the oldest first."""
    ready: int = 0
    before_s: float | None = None

    def observe(self, observation: Observation) -> None:
        """Match pods that turned ready with the oldest orders; an order is as old as the observation before it."""
        now_s, starting = observation.now_s, min(MOST_ORDERS, observation.starting or 0)
        before_s = now_s if self.before_s is None else self.before_s
        turned = max(0, observation.ready - self.ready) if self.before_s is not None else 0
        for ordered_s in self.orders_s[:turned]:
            self._learn(now_s - ordered_s)
        del self.orders_s[:turned]
        del self.orders_s[starting:]
        self.orders_s.extend([before_s] * (starting - len(self.orders_s)))
        if self.orders_s:
            self.longest_s = min(LONGEST_S, max(self.longest_s, now_s - self.orders_s[0]))
        self.ready, self.before_s = observation.ready, now_s

    def _learn(self, age_s: float) -> None:
        self.seen += 1
        self.longest_s = min(LONGEST_S, max(age_s, OLD * self.longest_s + (1 - OLD) * age_s))

    @property
    def expected_s(self) -> float:
        """Seconds that a pod ordered now will take."""
        return self.longest_s if self.seen > 1 else max(PRIOR_S, self.longest_s)

    def remaining_s(self, now_s: float) -> list[float]:
        """Return the seconds that each starting pod will still take, ascending."""
        return [max(0.0, ordered_s + self.expected_s - now_s) for ordered_s in self.orders_s]
