"""Demand ahead: how much may arrive in each of the next slots of time, from what arrived so far.

Three bounds, of which the smallest counts: the largest rise may come again (rises); a record may be passed by as much
as ever; what was a lag ago may come again, with the largest error of that lag (lags).  Above every record, where
nothing is known, a rise that has lasted goes on.

Lives here: slots, records, noise, slopes and the bounds.  Not here: what pods can take (service, concurrency).
"""

import math
from itertools import pairwise

import msgspec

from autoscaling.slo.lags import GENERATION, MOST_LAG, Lags
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
CREST = 1.1
"""A record counts as one when it is this many times the first mean: a crest that was there from the start may have been
on the way up."""
LASTING = 3
"""A rise has lasted when it went on for so many windows, and goes on as steeply as in the flattest of them."""
PASSED = 1.05
"""Growth of the record while a rise lasts, so that it is no crest that is a little higher than the last one."""
RISING = 0.02
"""Share of the record by which demand rises in a window, or does not rise."""
QUIET = 0.05
"""Share of the record by which quiet demand changes in two minutes.  So waves of half an hour are not quiet, but for
their crests and troughs."""
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
    """The largest mean of late (one to two generations of slots) at the end of each slot."""
    older: float = 0.0
    newer: float = 0.0
    """The largest mean of the generation before, and of this one."""
    peak: float = 0.0
    """The largest mean ever.  Its bound is never forgotten, because that would allow less and not more."""
    overshoots: list[float] = msgspec.field(default_factory=_nothing)
    """How far the record of so many slots ago was passed at most."""
    first: float = 0.0
    """The mean of the first full window."""
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
        quiet_change = QUIET * self.record + self.noise(self.now, WINDOW * SLOT_S)
        self.rises.observe(self.means, quiet_change, falls_count=self._is_learning)
        if len(self.rates) == WINDOW and not self.first:
            self.first = self.now
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
        if self.lags.slots % GENERATION == 0:
            self.older, self.newer = self.newer, 0.0
        self.newer, self.peak = max(now, self.newer), max(now, self.peak)
        self.records.append(max(self.older, self.newer))
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
        """The largest mean of the last two to four hours."""
        return self.records[-1] if self.records else 0.0

    def ahead(self, slots: int) -> list[float]:
        """Return how much may arrive in each of the next slots."""
        return [self._at(min(MOST_AHEAD, slot + CENTRE)) for slot in range(1, slots + 1)]

    def _at(self, ahead: int) -> float:
        now, record, rise = self.now, self.record, self.rises.largest[ahead]
        if self._is_learning:
            likely = now + min(rise, self._slope(1) * ahead)
            return likely if self._passes_record(1, 1.0) else min(likely, record)
        highest = self.peak + self.overshoots[ahead] if self.peak > CREST * self.first else math.inf
        known = min(now + rise, highest, self.lags.least(ahead))
        is_unknown = self._passes_record(LASTING, PASSED)
        return max(known, now + self._slope(LASTING) * ahead) if is_unknown else known

    def _passes_record(self, windows: int, times: float) -> bool:
        """Return whether the record has grown in the last windows, by more than that factor."""
        return bool(self.records) and self.record > times * self.records[-windows * WINDOW - 1 :][0]

    @property
    def is_rising(self) -> bool:
        """Whether demand rises now."""
        return self._slope(1) > 0

    def _slope(self, windows: int) -> float:
        """Return the rise per slot that the last windows have in common, in requests per second."""
        if len(self.means) <= windows * WINDOW:
            return 0.0
        means = self.means[-windows * WINDOW - 1 :: WINDOW]
        rise = min(later - before for before, later in pairwise(means))
        return rise / WINDOW if rise > RISING * self.record else 0.0

    def noise(self, rate: float, seconds: float) -> float:
        """Return the standard deviation of the mean rate of so many seconds, in requests per second."""
        return math.sqrt(max(0.0, self.dispersion - REGULAR) * rate / seconds)
