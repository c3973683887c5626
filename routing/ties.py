"""Ties: which of several equally good pods a replica takes, so that the choices of all replicas complement each other.

Lives here: the choice, and whether a burst is under way.  Not here: which pods are equally good (scoring), which
replicas there are (gateway.sharing).

A burst arrives at several replicas faster than they can tell each other anything.  If each chose at random, or each the
first pod, some pods would get many requests of it and others none.  So replicas walk through the candidates in orders
that complement each other: they are pairs that start at the same place and go in opposite directions, and the pairs'
starting places divide the candidates evenly.  While a pair has as many requests as there are pods it meets no pod
twice, however unevenly the burst is divided between the two.  So of 32 requests on 16 idle pods every pod gets 2 when
four replicas have 8 each, and no pod more than 3 however they are divided.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf

from routing.types import Rng

EPOCH_S = 10.0
"""Seconds after which all replicas start at another place, so that requests that come one by one use all pods (chosen:
a hundred times a burst and what clocks differ by, for in a burst that sees both places they do not complement)."""
OVERLAP_S = 1.0
"""Seconds by which a burst that began before may go on from the old place (chosen: longer than any)."""
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, divide a range ever more evenly (the golden ratio, less 1): where epochs start."""

PAUSE_S = 0.05
"""A request that follows the one before within so many seconds belongs to a burst (the interval at which replicas
tell what they do)."""
LONG_PAUSE_S = 0.25
"""So does one that is the third within this time (chosen: on a busy machine a burst takes so long to arrive)."""


class Ties:
    """Breaks ties, at random while no sibling is known."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._rank, self._replicas, self._ahead_s = 0, 1, 0.0
        self._start = 0.0  # where the first pair starts, in [0, 1)
        self._last_s = self._last_but_one_s = -inf  # times of the latest requests
        self.is_burst = False
        """Whether the request that was noted last belongs to a burst, of which siblings get their part."""

    def among(self, rank: int, replicas: int, ahead_s: float) -> None:
        """Take the place `rank` among so many replicas, whose common clock is `ahead_s` ahead of this one's."""
        self._rank, self._replicas, self._ahead_s = rank, replicas, ahead_s

    def note(self, now_s: float) -> None:
        """Note that a request is routed now.  Once for each, however many strategies and pods are asked for it."""
        if self._replicas == 1:
            self.is_burst = False
            return
        self.is_burst = now_s - self._last_s < PAUSE_S or now_s - self._last_but_one_s < LONG_PAUSE_S
        if now_s > self._last_s:
            self._last_s, self._last_but_one_s = now_s, self._last_s
        epoch, age_s = divmod(now_s + self._ahead_s, EPOCH_S)
        if not self.is_burst or age_s > OVERLAP_S:
            self._start = epoch * GOLDEN % 1.0

    def choose(self, tied: Sequence[int], candidates: int) -> int:
        """Return one of the positions in `tied`, which are in ascending order and below `candidates`."""
        if self._replicas == 1:
            return tied[int(self._rng.random() * len(tied))]
        pairs = (self._replicas + 1) // 2
        start = int((self._start + self._rank // 2 / pairs) * candidates) % candidates
        next_up = bisect_left(tied, start)
        return tied[next_up - 1 if self._rank % 2 else next_up % len(tied)]
