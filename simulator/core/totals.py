"""What an engine has counted since its start.

Lives here: the counts.  Not here: when they grow (engine), how they are shown (metrics, report).
"""

from collections import Counter
from dataclasses import dataclass, field

GAP_RESOLUTION_S = 1e-4
"""How finely gaps between tokens are told apart; their sum is exact."""


@dataclass(slots=True)
class Totals:
    """In tokens unless the name says otherwise."""

    prefix_queries: int = 0  # prompts of sequences that started
    prefix_hits: int = 0  # of these, found in the cache
    prompts: int = 0  # of sequences that made their first token
    found: int = 0  # of `prompts`, what was in the cache
    first_tokens: int = 0
    ttft_s: float = 0.0  # seconds from arrival to first token, summed
    generated: int = 0
    computed: int = 0  # new tokens of all passes, what was computed again after preemption included
    preemptions: int = 0  # sequences put back
    busy_s: float = 0.0  # seconds of all passes
    gaps_s: float = 0.0  # seconds between tokens of a sequence, summed
    gaps: Counter[int] = field(default_factory=Counter)  # the same counted, in steps of GAP_RESOLUTION_S

    def add_gaps(self, gap_s: float, count: int) -> None:
        """So many sequences waited so long from one token to the next."""
        self.gaps[int(gap_s / GAP_RESOLUTION_S)] += count
        self.gaps_s += gap_s * count
