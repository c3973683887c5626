"""A decayed quantile histogram: a quantile of past observations in constant memory, recent ones weighing more.

Lives here: buckets, decay and the quantile.  Not here: what is observed, the lengths of answers (estimates).
Decay is forward: the weight of each new observation grows instead of all old ones shrinking, so that adding one is O(1)
(Cormode et al., "Forward Decay", ICDE 2009).
"""

import math
from array import array
from bisect import bisect_left

DECAY_OBSERVATIONS = 200
"""Observations after which a weight has decayed to 1/e: follows a change of traffic within minutes (chosen)."""

BUCKETS_PER_DOUBLING = 4
"""Neighbouring bounds differ by 2^(1/4), so that the quantile is at most 19 % above the exact one (chosen)."""

BOUNDS = (0, *(math.floor(2 ** (step / BUCKETS_PER_DOUBLING)) for step in range(31 * BUCKETS_PER_DOUBLING + 1)))
"""The largest value of each bucket, up to 2^31 (openai.fields.MAX_COUNT is below)."""

GROWTH = 1.0 / (1.0 - 1.0 / DECAY_OBSERVATIONS)
"""The factor between the weights of two observations in a row."""
MAX_WEIGHT = 1e12
"""Above this weight all weights are scaled down, long before doubles lose small summands (2^53)."""


class DecayedQuantileHistogram:
    """The `quantile` (0 to 1) of integers from 0.  Takes 1 KB; `add` is amortised O(1)."""

    def __init__(self, quantile: float) -> None:
        self.count = 0
        self._quantile = quantile
        self._weights = array("d", bytes(8 * len(BOUNDS)))
        self._next_weight = 1.0
        self._total_weight = 0.0
        self._bucket = 0  # the one that holds the quantile
        self._weight_below = 0.0  # of all buckets before it

    @property
    def value(self) -> int:
        """The bound of the bucket that holds the quantile: never below the exact one; 0 before the first `add`."""
        return BOUNDS[self._bucket]

    def add(self, value: int) -> None:
        """Add one observation."""
        bucket, weight = bisect_left(BOUNDS, value), self._next_weight
        self._weights[bucket] += weight
        self._total_weight += weight
        if bucket < self._bucket:
            self._weight_below += weight
        self.count += 1
        self._next_weight = weight * GROWTH
        self._find_bucket()
        if weight > MAX_WEIGHT:
            self._scale_down()

    def _find_bucket(self) -> None:
        """Move to the first bucket up to whose bound lies the quantile's part of all weight."""
        weights, goal = self._weights, self._quantile * self._total_weight
        while self._weight_below >= goal:
            self._bucket -= 1
            self._weight_below -= weights[self._bucket]
        while self._weight_below + weights[self._bucket] < goal:
            self._weight_below += weights[self._bucket]
            self._bucket += 1

    def _scale_down(self) -> None:
        self._weights = array("d", (weight / self._next_weight for weight in self._weights))
        self._next_weight = 1.0
        self._total_weight, self._weight_below = sum(self._weights), sum(self._weights[: self._bucket])
