"""How likely a block is asked for again, by how long nobody has asked for it: learned from all requests.

Lives here: the estimate.  Not here: what it is used for (the eviction_cost of evicting, prefix.Cache).

One block in SAMPLE, chosen by its hash, is followed from request to request, whichever pods these go to (spatial
sampling: Waldspurger et al., SHARDS, FAST'15).  An interval between two uses ends in the bucket of its length; a block
that is not asked for again leaves as not reused when it is forgotten.  From both follow, per bucket, the share of those
that came so far and ended there (the hazard, as Kaplan and Meier estimate it), and from these the chance to be asked
for ever.
"""

from collections import OrderedDict
from collections.abc import Iterable
from math import frexp

SAMPLE = 64
"""A power of two (chosen: a long prompt is seen several times, and a short one costs next to nothing)."""
FOLLOWED = 4096
"""Sampled blocks that are followed at most; the one used longest ago is forgotten first (chosen: under 1 MB, and a pass
over them takes 1 ms)."""
BUCKETS = 24
"""Of intervals, each twice the one before; the first ends at 1/64 s, the last is open from 18 hours."""
FIRST = 6
RELEARN = 256
"""Intervals after which the chances are computed anew (chosen)."""
MEMORY = 64
"""As many recomputations later an interval counts 1/e: traffic changes (chosen)."""


class Reuse:
    """`chance(age_s)` is 1 before anything is learned: a block that nobody knows about is worth keeping."""

    def __init__(self) -> None:
        self._used: OrderedDict[int, float] = OrderedDict()  # sampled block -> when; in the order of use
        self._reused = [0.0] * BUCKETS
        self._left = [0.0] * BUCKETS
        self._chances = [1.0] * BUCKETS
        self._news = 0

    def observe(self, blocks: Iterable[int], now_s: float) -> None:
        """A request asks for these blocks."""
        used = self._used
        for block in [block for block in blocks if not block % SAMPLE]:
            before = used.pop(block, None)
            used[block] = now_s
            if before is not None:
                self._reused[_bucket(now_s - before)] += 1
                self._news += 1
        while len(used) > FOLLOWED:
            self._left[_bucket(now_s - used.popitem(last=False)[1])] += 1
        if self._news >= RELEARN:
            self._learn(now_s)

    def chance(self, age_s: float) -> float:
        """Return how likely a block is asked for again that nobody has asked for so long; [0, 1]."""
        return self._chances[_bucket(age_s)]

    def _learn(self, now_s: float) -> None:
        """Those followed now have come as far as their age, and nobody knows how they go on."""
        waiting = [0.0] * BUCKETS
        for used_s in self._used.values():
            waiting[_bucket(now_s - used_s)] += 1
        came, never = 0.0, 1.0
        for bucket in reversed(range(BUCKETS)):
            reused = self._reused[bucket]
            came += reused + self._left[bucket] + waiting[bucket]
            never *= 1 - reused / came if came else 1.0
            self._chances[bucket] = 1 - never
        fade = 1 - 1 / MEMORY
        self._reused = [count * fade for count in self._reused]
        self._left = [count * fade for count in self._left]
        self._news = 0


def _bucket(age_s: float) -> int:
    return min(max(frexp(age_s)[1] + FIRST, 0), BUCKETS - 1)
