"""A Prometheus histogram: counts of values per bucket, and their sum.

Not here: which values are observed (state).
"""

from bisect import bisect_left
from collections.abc import Mapping

from prometheus_client.core import HistogramMetricFamily


class Histogram:
    """One histogram; `bounds` are the upper bounds of its buckets, ascending, without `+Inf`."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def total(self) -> float:
        """The sum of all values."""
        return self._sum

    def family(self, name: str, help_text: str, labels: Mapping[str, str]) -> HistogramMetricFamily:
        """Return the histogram as the exposition format has it: cumulative counts, `+Inf` last."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, in_bucket in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += in_bucket
            buckets.append((bound, total))
        family = HistogramMetricFamily(name, help_text, labels=list(labels))
        family.add_metric(list(labels.values()), buckets, self._sum)
        return family
