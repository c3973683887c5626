"""The totals of an engine since its start.

Lives here: the counts.  Not here: when they grow (core.engine), how they are shown (metrics, replay.report).
"""

from collections import Counter
from dataclasses import dataclass, field

ITL_RESOLUTION_S = 1e-4
"""Width of a bucket of `itl_histogram`, in seconds; `itl_sum_s` is exact (chosen: a fiftieth of a short pass)."""


@dataclass(slots=True)
class Totals:
    """Token counts unless the name says otherwise.  A `_sum_s` and its `_count` are those of a Prometheus histogram."""

    prefix_queries: int = 0  # prompt tokens of sequences that have started
    prefix_hits: int = 0  # of `prefix_queries`, those found in the cache
    prompt_tokens: int = 0  # of sequences that have their first token
    cached_tokens: int = 0  # of `prompt_tokens`, those found in the cache
    output_tokens: int = 0
    computed_tokens: int = 0  # new tokens of all passes, those computed again after a preemption included
    preemptions: int = 0  # sequences put back into the queue
    busy_s: float = 0.0  # duration of all passes
    ttft_sum_s: float = 0.0
    ttft_count: int = 0
    itl_sum_s: float = 0.0
    itl_histogram: Counter[int] = field(default_factory=Counter)  # bucket number -> count

    @property
    def itl_count(self) -> int:
        """Number of observed times between two tokens."""
        return self.itl_histogram.total()

    def observe_itl(self, itl_s: float, count: int) -> None:
        """Count `count` sequences that each had this time between two tokens."""
        self.itl_histogram[int(itl_s / ITL_RESOLUTION_S)] += count
        self.itl_sum_s += itl_s * count
