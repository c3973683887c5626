"""How long answers are: a quantile of what was seen, in memory that does not grow with it.

Lives here: a histogram with buckets of equal ratio whose old evidence fades.  Not here: whose answers (estimates).
"""

import math
from array import array
from bisect import bisect_left

MEMORY = 200
"""Requests after which evidence has faded to 1/e: follows a change of traffic within minutes (chosen)."""

BUCKETS_PER_DOUBLING = 4
"""Neighbouring bounds differ by 2^(1/4), so the quantile is at most 19 % above the real one (chosen)."""

BOUNDS = (0, *(math.floor(2 ** (step / BUCKETS_PER_DOUBLING)) for step in range(31 * BUCKETS_PER_DOUBLING + 1)))
"""The largest length of each bucket, up to 2^31 (openai.fields.MAX_COUNT is below)."""

GROWTH = 1.0 / (1.0 - 1.0 / MEMORY)
"""New evidence weighs ever more, which is the same as old evidence fading."""
LARGEST_WEIGHT = 1e12
"""From here on all is scaled down, far below where doubles get coarse."""


class Lengths:
    """The `share` quantile of lengths in tokens: 1 KB, O(1) amortised."""

    def __init__(self, share: float) -> None:
        self.count = 0
        self._share = share
        self._weights = array("d", bytes(8 * len(BOUNDS)))
        self._weight = 1.0  # of the next observation
        self._total = 0.0
        self._at = 0  # the bucket of the quantile
        self._below = 0.0  # what the buckets before it weigh

    @property
    def quantile(self) -> int:
        """Not below the exact one of what was learned, at most a bucket above; 0 when nothing was."""
        return BOUNDS[self._at]

    def learn(self, length: int) -> None:
        """One more answer of so many tokens."""
        bucket = bisect_left(BOUNDS, length)
        self._weights[bucket] += self._weight
        self._total += self._weight
        if bucket < self._at:
            self._below += self._weight
        self.count += 1
        self._weight *= GROWTH
        self._move()
        if self._weight > LARGEST_WEIGHT:
            self._scale_down()

    def _move(self) -> None:
        """To the first bucket at whose end `share` of all weight is reached."""
        weights, goal = self._weights, self._share * self._total
        while self._below >= goal:
            self._at -= 1
            self._below -= weights[self._at]
        while self._below + weights[self._at] < goal:
            self._below += weights[self._at]
            self._at += 1

    def _scale_down(self) -> None:
        self._weights = array("d", (weight / self._weight for weight in self._weights))
        self._weight = 1.0
        self._total, self._below = sum(self._weights), sum(self._weights[: self._at])
