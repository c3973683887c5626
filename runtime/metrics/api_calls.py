"""Counts the runtime's own calls: how many, and how long they took.

Lives here: the counts and their families.  Not here: timing a call (runtime.counting).  Families are built from
plain numbers, because prometheus_client's own metrics go to shared files wherever PROMETHEUS_MULTIPROC_DIR is set,
as it may be for the engine's sake.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from math import inf
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, inf)
"""Upper bounds of the histogram's buckets, in seconds: from a probe to an adapter that is loaded."""
LABELS = ("method", "endpoint", "status")


class Call(NamedTuple):
    """A kind of call; `endpoint` is the path of a route, so that there are few."""

    method: str
    endpoint: str
    status: str


class ApiCalls:
    """All calls since the start."""

    def __init__(self) -> None:
        self._counts: dict[Call, Counter[int]] = {}  # by index of the bucket
        self._sums_s: Counter[Call] = Counter()

    def add(self, call: Call, seconds: float) -> None:
        """Count a call that took so long."""
        self._counts.setdefault(call, Counter())[bisect_left(BOUNDS_S, seconds)] += 1
        self._sums_s[call] += seconds  # type: ignore[assignment]  # a sum of seconds, which Counter adds up as well

    def collect(self) -> Iterator[Metric]:
        """Yield the two families."""
        total = CounterMetricFamily("aibrix:api_request", "Calls of the runtime.", labels=LABELS)
        latency = HistogramMetricFamily("aibrix:api_request_latency", "Seconds that they took.", labels=LABELS)
        for call, counts in self._counts.items():
            sums = list(accumulate(counts[index] for index in range(len(BOUNDS_S))))
            buckets = [("+Inf" if bound == inf else str(bound), n) for bound, n in zip(BOUNDS_S, sums, strict=True)]
            total.add_metric(call, sums[-1])
            latency.add_metric(call, buckets, self._sums_s[call])
        yield total
        yield latency
