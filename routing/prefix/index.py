"""Which pods hold which blocks of prompts, as far as the gateway can know: an LRU model of each pod's prefix cache.

Lives here: the index and the longest match.  Not here: hashing (blocks), what a block is worth (strategies).

A block is known by a hash chained over all before it, and holders of a block are bits of an int.  Each request leaves a
record with its whole chain, and a pod drops the oldest record's tail first; so a pod that holds a block holds all
before it, and the sets of holders shrink along a chain.  That makes the longest match a binary search, not a walk.
How often a block stands in a pod's records is kept only where it is more than once: that is the whole LRU.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from routing.prefix.reuse import Reuse

SLACK = 1024
"""Entries that a pod's records may hold beyond twice its blocks before repeated ones are taken out (chosen)."""


class Match(NamedTuple):
    """Who holds how many leading blocks of one prompt: `(blocks, pods as bits)`, most first, each pod once."""

    levels: tuple[tuple[int, int], ...] = ()

    def blocks(self, slot: int) -> int:
        """Return how many leading blocks the pod with that bit holds."""
        for blocks, pods in self.levels:
            if pods >> slot & 1:
                return blocks
        return 0


NO_MATCH = Match()


class Record:
    """One request's chain on one pod, head first; the tail is taken off first."""

    __slots__ = ("blocks", "used_s")

    def __init__(self, blocks: Sequence[int], used_s: float) -> None:
        self.blocks = array("q", blocks)
        self.used_s = used_s


class Cache:
    """One pod's share of the index: at most `budget` blocks, as long as it is told of them."""

    __slots__ = ("_holders", "_records", "_repeated", "bit", "budget", "entries", "held", "index", "slot")

    def __init__(self, index: "PrefixIndex", slot: int, budget: int) -> None:
        self.index = index
        self.slot = slot
        self.bit = 1 << slot
        self.budget = budget
        self.held = 0
        self.entries = 0  # of all records
        self._holders = index._holders
        self._records: deque[Record] = deque()
        self._repeated: dict[int, int] = {}  # block -> entries beyond the first

    def insert(self, blocks: Sequence[int], matched: int, now_s: float) -> Record:
        """Note that the pod computes this chain, of which it holds the first `matched` blocks.  O(blocks)."""
        holders, repeated, bit = self._holders, self._repeated, self.bit
        for block in blocks[:matched]:
            repeated[block] = repeated.get(block, 0) + 1
        before, after = 0, bit  # neighbours mostly have the same holders: one int for all of them
        for block in blocks[matched:] if matched else blocks:
            pods = holders.get(block, 0)
            if pods != before:
                before, after = pods, pods | bit
            holders[block] = after
        self.held += len(blocks) - matched
        self.entries += len(blocks)
        record = Record(blocks, now_s)
        self._records.append(record)
        if self.held > self.budget:
            self._evict()
        if self.entries > 2 * self.held + SLACK:
            self._compact()
        return record

    def withdraw(self, record: Record) -> None:
        """Take back an insert: the pod did not compute it after all.  What is left of it already does not matter."""
        while record.blocks:
            self._drop(record.blocks.pop())

    def clear(self) -> None:
        """The pod has restarted, or is gone."""
        for record in self._records:
            self.withdraw(record)
        self._records.clear()

    def eviction_cost(self, new_blocks: int, now_s: float) -> float:
        """Return how many blocks that will be asked for again are lost when so many new ones come in; >= 0."""
        evicted = min(self.held + new_blocks - self.budget, self.held)
        if evicted <= 0:
            return 0.0
        return evicted * self.index.reuse.chance(now_s - self.oldest_s(now_s))

    def oldest_s(self, now_s: float) -> float:
        """Return when the block that would go next was used last; `now_s` when nothing is held."""
        records = self._records
        while records and not records[0].blocks:
            records.popleft()
        return records[0].used_s if records else now_s

    def _evict(self) -> None:
        records = self._records
        while self.held > self.budget:
            blocks = records[0].blocks
            while blocks and self.held > self.budget:
                self._drop(blocks.pop())
            if not blocks:
                records.popleft()

    def _drop(self, block: int) -> None:
        """Forget one entry of a block; with the last one the pod no longer holds it."""
        self.entries -= 1
        more = self._repeated.get(block)
        if more is not None:
            if more > 1:
                self._repeated[block] = more - 1
            else:
                del self._repeated[block]
            return
        self.held -= 1
        rest = self._holders[block] ^ self.bit
        if rest:
            self._holders[block] = rest
        else:
            del self._holders[block]

    def _compact(self) -> None:
        """Keep each block's latest entry only, and only records that have any."""
        repeated = self._repeated
        for record in self._records:
            kept = array("q")
            for block in record.blocks:
                more = repeated.get(block)
                if more is None:
                    kept.append(block)
                elif more > 1:
                    repeated[block] = more - 1
                else:
                    del repeated[block]
            record.blocks = kept
        self._records = deque(record for record in self._records if record.blocks)
        self.entries = self.held


class PrefixIndex:
    """All pods' caches over one map from block to holders."""

    def __init__(self) -> None:
        self.reuse = Reuse()
        self._holders: dict[int, int] = {}
        self._free: list[int] = []
        self._slots = 0

    @property
    def blocks(self) -> int:
        """How many different ones anybody holds."""
        return len(self._holders)

    def join(self, budget: int) -> Cache:
        """Return an empty cache for a pod."""
        if self._free:
            slot = self._free.pop()
        else:
            slot = self._slots
            self._slots += 1
        return Cache(self, slot, budget)

    def leave(self, cache: Cache) -> None:
        """Forget a pod; its bit is another's from now on."""
        cache.clear()
        self._free.append(cache.slot)

    def match(self, blocks: Sequence[int]) -> Match:
        """Return who holds how much of the chain.  O(log blocks) steps for each different length of match."""
        get = self._holders.get
        levels: list[tuple[int, int]] = []
        deeper = 0  # those that hold more than is looked at now
        top = len(blocks)
        while top:
            low, high = 0, top  # the most blocks that anybody holds who is in no deeper level
            while low < high:
                middle = (low + high + 1) // 2
                if get(blocks[middle - 1], 0) & ~deeper if deeper else get(blocks[middle - 1]):
                    low = middle
                else:
                    high = middle - 1
            if not low:
                break
            pods = get(blocks[low - 1], 0)
            levels.append((low, pods & ~deeper))
            deeper = pods
            top = low - 1
        return Match(tuple(levels)) if levels else NO_MATCH
