"""The chance that a block is reused, by how long it has been idle: learned from all requests.

Lives here: the estimate.  Not here: its use, the cost of an eviction (index).

One block in SAMPLE_ONE_IN, selected by its hash, is tracked from request to request, whichever pods these go to
(spatial sampling: Waldspurger et al., SHARDS, FAST'15).  The time between two uses is counted in a bucket of a
histogram; so is the idle time of a block that is dropped without reuse.  Together they give, for each bucket, the share
of the blocks idle for so long that are reused within it (the hazard in Kaplan and Meier's estimator), and from the
hazards follows the chance of any later reuse.
"""

from collections import OrderedDict
from collections.abc import Iterable
from math import frexp

SAMPLE_ONE_IN = 64
"""One block in this many is tracked (chosen: a long prompt still has some of them, and a short one costs little)."""
MAX_TRACKED = 4096
"""Maximum number of tracked blocks; the least recently used is dropped first (chosen: under 1 MB, and iterating over
them takes 1 ms)."""
BUCKETS = 24
"""Number of buckets of idle times, each twice as long as the one before: the first ends at 1/64 s, the last begins at
18 hours (chosen)."""
FIRST_EXPONENT = 6
"""The first bucket ends at 2^-FIRST_EXPONENT seconds."""
RECOMPUTE_AFTER = 256
"""Reuses after which the chances are computed again (chosen)."""
DECAY_ROUNDS = 64
"""Recomputations after which a reuse's weight is 1/e, because traffic changes (chosen)."""


class Reuse:
    """The estimate.  Before anything is learned the chance is 1, so that evicting has a cost."""

    def __init__(self) -> None:
        self._used: OrderedDict[int, float] = OrderedDict()  # tracked block -> last use; the least recent first
        self._reused = [0.0] * BUCKETS
        self._dropped = [0.0] * BUCKETS
        self._chances = [1.0] * BUCKETS
        self._new_reuses = 0  # since the chances were computed

    def observe(self, blocks: Iterable[int], now_s: float) -> None:
        """Learn from a request whose prompt has these blocks."""
        used = self._used
        for block in [block for block in blocks if not block % SAMPLE_ONE_IN]:
            before = used.pop(block, None)
            used[block] = now_s
            if before is not None:
                self._reused[_bucket(now_s - before)] += 1
                self._new_reuses += 1
        while len(used) > MAX_TRACKED:
            self._dropped[_bucket(now_s - used.popitem(last=False)[1])] += 1
        if self._new_reuses >= RECOMPUTE_AFTER:
            self._recompute(now_s)

    def chance(self, idle_s: float) -> float:
        """Return the chance that a block is reused that has been idle for so long; [0, 1]."""
        return self._chances[_bucket(idle_s)]

    def _recompute(self, now_s: float) -> None:
        """Compute the chances; blocks that are tracked now are censored at their idle time, as dropped ones are."""
        tracked = [0.0] * BUCKETS
        for used_s in self._used.values():
            tracked[_bucket(now_s - used_s)] += 1
        at_risk, survival = 0.0, 1.0
        for bucket in reversed(range(BUCKETS)):
            reused = self._reused[bucket]
            at_risk += reused + self._dropped[bucket] + tracked[bucket]
            survival *= 1 - reused / at_risk if at_risk else 1.0
            self._chances[bucket] = 1 - survival
        decay = 1 - 1 / DECAY_ROUNDS
        self._reused = [count * decay for count in self._reused]
        self._dropped = [count * decay for count in self._dropped]
        self._new_reuses = 0


def _bucket(idle_s: float) -> int:
    return min(max(frexp(idle_s)[1] + FIRST_EXPONENT, 0), BUCKETS - 1)
