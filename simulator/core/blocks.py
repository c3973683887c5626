"""The paged KV cache: a budget of blocks, and full blocks that stay reusable until their room is needed.

Lives here: who holds what, hits, eviction.  Not here: who gets blocks when (engine).
As in vLLM: full blocks are known by a hash chained over all before them; a released sequence's tail is evicted before
its head; least recently used first.  A block computed by two sequences at once is kept once.
"""

from collections import OrderedDict
from collections.abc import Sequence as Series
from typing import NamedTuple

from simulator.core.sequence import Sequence


class Stored(NamedTuple):
    """A block is reusable that was not before: the one of this number, from 0, of a sequence that is in the batch."""

    sequence: Sequence
    number: int


class Removed(NamedTuple):
    """A block is no longer reusable."""

    hash: int


Change = Stored | Removed


class KvBlocks:
    """`total` blocks, each blank, held by sequences, or idle: full, known by its hash and held by nobody."""

    def __init__(self, total: int, changes: list[Change] | None = None) -> None:
        self.total = total
        self.changes = changes
        """What happened to reusable blocks, for somebody who empties the list; None = nobody does."""
        self._blank = total
        self._holders: dict[int, int] = {}  # hash -> sequences that hold the block
        self._idle: OrderedDict[int, None] = OrderedDict()  # the least recently used first

    @property
    def free(self) -> int:
        """Blocks that nobody holds."""
        return self._blank + len(self._idle)

    @property
    def usage(self) -> float:
        """Share of the blocks that sequences hold, [0, 1]."""
        return 1 - self.free / self.total

    def leading(self, hashes: Series[int], most: int) -> int:
        """Return how many of the first `most` hashes are there, without a gap."""
        holders, idle = self._holders, self._idle
        for index, block in enumerate(hashes[:most]):
            if block not in holders and block not in idle:
                return index
        return min(most, len(hashes))

    def claim(self, hashes: Series[int], leading: int, blanks: int) -> bool:
        """Hold the first `leading` blocks, which are there, and `blanks` new ones; False = too few, nothing held."""
        holders, idle = self._holders, self._idle
        prefix = hashes[:leading]
        unheld = sum(block in idle for block in prefix)
        if self.free - unheld < blanks:
            return False
        for block in prefix:
            if block in idle:
                del idle[block]
                holders[block] = 1
            else:
                holders[block] += 1
        return self.take(blanks)

    def take(self, count: int) -> bool:
        """Hold `count` new blocks, evicting idle ones; False = too few are free, nothing held."""
        evicted = count - self._blank
        if evicted <= 0:
            self._blank -= count
            return True
        if evicted > len(self._idle):
            return False
        self._blank = 0
        for _ in range(evicted):
            block, _ = self._idle.popitem(last=False)
            if self.changes is not None:
                self.changes.append(Removed(block))
        return True

    def clear(self) -> None:
        """Forget the blocks that nobody holds."""
        self._blank += len(self._idle)
        self._idle.clear()

    def name(self, block: int) -> bool:
        """A held nameless block is full now: it is known by its hash, or given up for the one that is known already.

        Return whether it was not known.
        """
        if block in self._holders:
            self._holders[block] += 1
            self._blank += 1
            return False
        self._holders[block] = 1
        if block in self._idle:
            del self._idle[block]
            self._blank += 1
            return False
        return True

    def give_back(self, named: Series[int], nameless: int) -> None:
        """Hold no longer the blocks known by `named`, in the order of the prompt, and so many nameless ones."""
        self._blank += nameless
        holders, idle = self._holders, self._idle
        for block in reversed(named):
            if holders[block] == 1:
                del holders[block]
                idle[block] = None
            else:
                holders[block] -= 1
