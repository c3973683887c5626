"""The paged KV cache: a fixed number of blocks, and full blocks that stay reusable until their space is needed.

Lives here: reference counts, prefix hits, eviction.  Not here: when a sequence gets blocks (engine).
As in vLLM: a full block is known by a hash chained over all blocks before it; the least recently used block without
references is evicted first, and of a sequence that was released the tail before the head.  Unlike vLLM, a block that
two sequences compute at the same time is kept once.
"""

from collections import OrderedDict
from collections.abc import Sequence as Series
from typing import NamedTuple

from simulator.core.sequence import Sequence


class Stored(NamedTuple):
    """A block has become reusable: the block with this number, from 0, of a sequence in the batch."""

    sequence: Sequence
    number: int


class Removed(NamedTuple):
    """A block is no longer reusable."""

    hash: int


Change = Stored | Removed


class KvBlocks:
    """`total` blocks.  Each is empty, or held by sequences, or cached: full, known by its hash, and held by none."""

    def __init__(self, total: int, changes: list[Change] | None = None) -> None:
        self.total = total
        self.changes = changes
        """Changes of the reusable blocks are appended here, for a reader that empties the list; None = no reader."""
        self._empty = total
        self._references: dict[int, int] = {}  # hash -> number of sequences that hold the block
        self._cached: OrderedDict[int, None] = OrderedDict()  # hashes, the least recently used first

    @property
    def free(self) -> int:
        """Number of blocks that no sequence holds."""
        return self._empty + len(self._cached)

    @property
    def usage(self) -> float:
        """Share of the blocks that sequences hold, [0, 1]."""
        return 1 - self.free / self.total

    def cached_prefix(self, hashes: Series[int], limit: int) -> int:
        """Return how many of the first `limit` hashes are reusable, without a gap."""
        references, cached = self._references, self._cached
        for index, block in enumerate(hashes[:limit]):
            if block not in references and block not in cached:
                return index
        return min(limit, len(hashes))

    def allocate_with_prefix(self, hashes: Series[int], prefix_blocks: int, new_blocks: int) -> bool:
        """Hold the first `prefix_blocks` blocks, which are reusable, and `new_blocks` new ones.

        Return False, and hold nothing, when too few are free.
        """
        references, cached = self._references, self._cached
        prefix = hashes[:prefix_blocks]
        unreferenced = sum(block in cached for block in prefix)
        if self.free - unreferenced < new_blocks:
            return False
        for block in prefix:
            if block in cached:
                del cached[block]
                references[block] = 1
            else:
                references[block] += 1
        return self.allocate(new_blocks)

    def allocate(self, count: int) -> bool:
        """Hold `count` new blocks, evicting cached ones; return False, and hold nothing, when too few are free."""
        evicted = count - self._empty
        if evicted <= 0:
            self._empty -= count
            return True
        if evicted > len(self._cached):
            return False
        self._empty = 0
        for _ in range(evicted):
            block, _ = self._cached.popitem(last=False)
            if self.changes is not None:
                self.changes.append(Removed(block))
        return True

    def clear(self) -> None:
        """Forget the cached blocks."""
        self._empty += len(self._cached)
        self._cached.clear()

    def register(self, block: int) -> bool:
        """Register the hash of a held block that has become full; a duplicate is freed for the block that is known.

        Return whether the hash is new.
        """
        if block in self._references:
            self._references[block] += 1
            self._empty += 1
            return False
        self._references[block] = 1
        if block in self._cached:
            del self._cached[block]
            self._empty += 1
            return False
        return True

    def release(self, hashes: Series[int], unhashed: int) -> None:
        """Hold the blocks with these hashes, in the order of the prompt, no longer, nor `unhashed` others."""
        self._empty += unhashed
        references, cached = self._references, self._cached
        for block in reversed(hashes):
            if references[block] == 1:
                del references[block]
                cached[block] = None
            else:
                references[block] -= 1
