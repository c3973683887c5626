"""Demand ahead: how much may arrive in each of the next slots of time, from what arrived so far.

Three bounds, of which the smallest counts: the largest rise may come again; a record may be passed by as much as ever;
what was a lag ago may come again, with the largest error of that lag (lags).

Lives here: slots, records, noise and the three bounds.  Not here: what pods can take (service, concurrency).
"""

import math

import msgspec

from autoscaling.slo.lags import MOST_LAG, Lags
from autoscaling.slo.rises import MOST_AHEAD, Rises

SLOT_S = 5.0
"""Length of a slot in seconds: the interval of decisions."""
WINDOW = 6
"""Slots that demand is the mean of."""
CENTRE = 3
"""Slots by which such a mean lags behind."""
LEARNING = 48
"""Slots, four minutes, in which the usual level is learned: what passes a record in them is no overshoot, and a rise
goes on at most as steeply as it goes now (chosen: without it the first ascent of a fast wave is taken for a half)."""
DISPERSION_OLD = 0.97
MOST_DISPERSION = 4.0
"""A jump must not count as noise."""
REGULAR = 0.15
"""Dispersion that counts as none: counts of evenly spaced arrivals differ by one."""


def _nothing() -> list[float]:
    return [0.0] * (MOST_AHEAD + 1)


class Demand(msgspec.Struct):
    """The demand of the past, in requests per second."""

    rates: list[float] = []
    """Rates of the last WINDOW slots."""
    means: list[float] = []
    """The mean of WINDOW slots at the end of each slot."""
    rises: Rises = msgspec.field(default_factory=Rises)
    lags: Lags = msgspec.field(default_factory=Lags)
    records: list[float] = []
    """The largest mean so far at the end of each slot."""
    overshoots: list[float] = msgspec.field(default_factory=_nothing)
    """How far the record of so many slots ago was passed at most."""
    dispersion: float = 0.0
    """Variance of the counts of slots over their mean: 0 for even arrivals, 1 for random ones (Poisson)."""
    requests: float = 0.0
    """Requests of the slot that has begun."""
    seconds: float = 0.0
    """Length so far of the slot that has begun."""

    def observe(self, requests: float, seconds: float) -> None:
        """Take over what arrived; all slots that it fills get the same rate."""
        self.requests += requests
        self.seconds += seconds
        slots = round(self.seconds / SLOT_S)
        if slots:
            rate = self.requests / self.seconds
            for _ in range(min(MOST_LAG, slots)):
                self._close_slot(rate)
            self.requests = self.seconds = 0.0

    def _close_slot(self, rate: float) -> None:
        if self.rates:
            self._learn_dispersion(rate)
        self.rates = [*self.rates, rate][-WINDOW:]
        self.means.append(sum(self.rates) / len(self.rates))
        del self.means[: -(MOST_LAG + 1)]
        self._learn_record()
        self.rises.observe(self.means, self.record, self.noise(self.now, WINDOW * SLOT_S))
        self.lags.observe(self.means)

    def _learn_dispersion(self, rate: float) -> None:
        before = self.rates[-1]
        mean = (rate + before) / 2 * SLOT_S
        ratio = ((rate - before) * SLOT_S) ** 2 / (2 * mean) if mean else 0.0
        self.dispersion += (1 - DISPERSION_OLD) * (min(MOST_DISPERSION, ratio) - self.dispersion)

    def _learn_record(self) -> None:
        now, overshoots = self.now, self.overshoots
        if not self._is_learning:
            for ahead in range(1, len(self.records) + 1):
                overshoots[ahead] = max(overshoots[ahead], now - self.records[-ahead])
        self.records.append(max(now, self.record))
        del self.records[:-MOST_AHEAD]

    @property
    def _is_learning(self) -> bool:
        return self.lags.slots < LEARNING

    @property
    def now(self) -> float:
        """The mean of the last WINDOW slots."""
        return self.means[-1] if self.means else 0.0

    @property
    def record(self) -> float:
        """The largest mean so far."""
        return self.records[-1] if self.records else 0.0

    def ahead(self, slots: int) -> list[float]:
        """Return how much may arrive in each of the next slots."""
        return [self._at(min(MOST_AHEAD, slot + CENTRE)) for slot in range(1, slots + 1)]

    def _at(self, ahead: int) -> float:
        rise = self.rises.largest[ahead]
        if self._is_learning:
            before = self.means[-WINDOW - 1 :][:1] or [0.0]
            return self.now + min(rise, max(0.0, self.now - before[0]) * ahead / WINDOW)
        return min(self.now + rise, self.record + self.overshoots[ahead], self.lags.least(ahead))

    def noise(self, rate: float, seconds: float) -> float:
        """Return the standard deviation of the mean rate of so many seconds, in requests per second."""
        return math.sqrt(max(0.0, self.dispersion - REGULAR) * rate / seconds)
