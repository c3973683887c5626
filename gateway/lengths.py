"""How long answers are: a quantile of what was seen, in memory that does not grow with it.

Lives here: a histogram with buckets of equal ratio whose old evidence fades.  Not here: whose answers (estimates).
"""

import math

MEMORY = 200
"""Requests after which evidence has faded to 1/e: follows a change of traffic within minutes (chosen)."""

BUCKETS_PER_DOUBLING = 4
"""Neighbouring bounds differ by 2^(1/4), so the quantile is at most 19 % above the real one (chosen)."""

LARGEST_WEIGHT = 1e6
"""New evidence weighs ever more, which is the same as old evidence fading; from here on all is scaled down."""
NEGLIGIBLE = 1e-3
"""Of the newest observation's weight; what is lighter is forgotten: seven MEMORYs old."""


class Lengths:
    """The `share` quantile of lengths in tokens.  At most some 130 buckets, of which traffic fills a dozen."""

    def __init__(self, share: float) -> None:
        self.count = 0
        self._share = share
        self._weights: dict[int, float] = {}
        self._weight = 1.0  # of the next observation
        self._quantile: int | None = None  # as of the last look, None = something was learned since

    def learn(self, length: int) -> None:
        """One more answer of so many tokens."""
        bucket = math.ceil(BUCKETS_PER_DOUBLING * math.log2(length)) if length > 0 else -1
        self._weights[bucket] = self._weights.get(bucket, 0.0) + self._weight
        self.count += 1
        self._weight /= 1.0 - 1.0 / MEMORY
        if self._weight > LARGEST_WEIGHT:
            self._scale_down()
        self._quantile = None

    @property
    def quantile(self) -> int:
        """Not below the exact one, at most a bucket above; 0 when nothing was learned.  O(buckets) after learning."""
        if self._quantile is None:
            self._quantile = self._read()
        return self._quantile

    def _read(self) -> int:
        bucket = -1
        left = self._share * sum(self._weights.values())
        for bucket in sorted(self._weights):
            left -= self._weights[bucket]
            if left <= 0:
                break
        return math.floor(2 ** (bucket / BUCKETS_PER_DOUBLING)) if bucket >= 0 else 0

    def _scale_down(self) -> None:
        scaled = {bucket: weight / self._weight for bucket, weight in self._weights.items()}
        self._weights = {bucket: weight for bucket, weight in scaled.items() if weight > NEGLIGIBLE}
        self._weight = 1.0
