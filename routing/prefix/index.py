"""The index of prefix caches: which pods hold which blocks of prompts, by an LRU model of each pod's cache.

Lives here: the index and the longest match.  Not here: hashing (blocks), what a cached block is worth (strategies).

A block is identified by a hash chained over all blocks before it, and the set of pods that hold a block is an int with
a bit for each pod (its slot).  Each request leaves a record with its whole chain, and a pod evicts the tail of its
oldest record first.  So a pod that holds a block holds all blocks before it, and along a chain the sets of pods only
shrink: that makes the longest match a binary search.  How many records of a pod contain a block is stored only where it
is more than one.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from routing.prefix.reuse import Reuse

MAX_SEARCHED = 256
"""Records of a pod, from the latest, among which one is looked for by its blocks (chosen: some seconds of prompts)."""
SLACK = 1024
"""Entries that a pod's records may have beyond twice its blocks before repeated ones are removed (chosen)."""


class Match(NamedTuple):
    """The number of leading blocks of a prompt that each pod holds."""

    pods_by_length: tuple[tuple[int, int], ...] = ()
    """`(blocks, pods as bits)`, the longest match first; each pod is in one of them at most."""

    def blocks(self, slot: int) -> int:
        """Return how many leading blocks the pod with this slot holds."""
        for blocks, pods in self.pods_by_length:
            if pods >> slot & 1:
                return blocks
        return 0


NO_MATCH = Match()


class Record:
    """One request's chain of blocks on one pod, head first; eviction removes the tail first."""

    __slots__ = ("blocks", "is_own", "used_s")

    def __init__(self, blocks: Sequence[int], used_s: float) -> None:
        self.blocks = array("q", blocks)
        self.is_own = True  # False: another replica sent the request
        self.used_s = used_s


class Cache:
    """The model of one pod's prefix cache, which holds at most `budget` blocks."""

    __slots__ = ("_pods_of", "_records", "_repeated", "bit", "budget", "entries", "held", "index", "slot")

    def __init__(self, index: "PrefixIndex", slot: int, budget: int) -> None:
        self.index = index
        self.slot = slot
        self.bit = 1 << slot
        self.budget = budget
        self.held = 0  # different blocks
        self.entries = 0  # blocks of all records
        self._pods_of = index._pods_of
        self._records: deque[Record] = deque()  # the least recently used first
        self._repeated: dict[int, int] = {}  # block -> entries beyond the first

    def insert(self, blocks: Sequence[int], matched: int, now_s: float) -> Record:
        """Record that the pod computes this chain, of which it holds the first `matched` blocks.  O(blocks)."""
        pods_of, repeated, bit = self._pods_of, self._repeated, self.bit
        for block in blocks[:matched]:
            repeated[block] = repeated.get(block, 0) + 1
        before, after = 0, bit  # neighbouring blocks mostly have the same pods, and share one int object
        for block in blocks[matched:] if matched else blocks:
            pods = pods_of.get(block, 0)
            if pods != before:
                before, after = pods, pods | bit
            pods_of[block] = after
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
        """Undo an insert, because the pod did not compute the prompt after all; parts may be evicted already."""
        while record.blocks:
            self._drop(record.blocks.pop())

    def withdraw_equal(self, blocks: Sequence[int]) -> None:
        """Undo another replica's latest insert of this chain, if it is one of the MAX_SEARCHED latest records."""
        wanted = array("q", blocks)
        for record in islice(reversed(self._records), MAX_SEARCHED):
            if not record.is_own and record.blocks == wanted:
                self.withdraw(record)
                return

    def latest(self) -> Iterator[Record]:
        """Yield the records that still hold blocks, the latest first."""
        return (record for record in reversed(self._records) if record.blocks)

    def clear(self) -> None:
        """Forget all blocks: the pod has restarted or is gone."""
        for record in self._records:
            self.withdraw(record)
        self._records.clear()

    def eviction_cost(self, new_blocks: int, now_s: float) -> float:
        """Return the expected number of evicted blocks that would have been reused, when so many new ones come in."""
        evicted = min(self.held + new_blocks - self.budget, self.held)
        if evicted <= 0:
            return 0.0
        return evicted * self.index.reuse.chance(now_s - self.oldest_s(now_s))

    def oldest_s(self, now_s: float) -> float:
        """Return when the block that would be evicted next was last used; `now_s` when none is held."""
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
        """Remove one entry of a block; without entries the pod no longer holds it."""
        self.entries -= 1
        more = self._repeated.get(block)
        if more is not None:
            if more > 1:
                self._repeated[block] = more - 1
            else:
                del self._repeated[block]
            return
        self.held -= 1
        others = self._pods_of.get(block, 0) & ~self.bit
        if others:
            self._pods_of[block] = others
        else:
            self._pods_of.pop(block, None)  # it is gone already if another replica told of a chain with a block twice

    def _compact(self) -> None:
        """Keep only the latest entry of each block, and only records that still have entries."""
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
    """The caches of all pods over one map from blocks to pods."""

    def __init__(self) -> None:
        self.reuse = Reuse()
        self._pods_of: dict[int, int] = {}  # block -> pods that hold it, as bits
        self._free: list[int] = []  # slots of pods that have left
        self._slots = 0

    @property
    def blocks(self) -> int:
        """Number of different blocks that any pod holds."""
        return len(self._pods_of)

    def join(self, budget: int) -> Cache:
        """Return an empty cache for a new pod."""
        if self._free:
            slot = self._free.pop()
        else:
            slot = self._slots
            self._slots += 1
        return Cache(self, slot, budget)

    def leave(self, cache: Cache) -> None:
        """Forget a pod; its slot may go to another pod from now on."""
        cache.clear()
        self._free.append(cache.slot)

    def match(self, blocks: Sequence[int]) -> Match:
        """Return how much of the chain each pod holds.  O(log blocks) steps for each different length of a match."""
        get = self._pods_of.get
        pods_by_length: list[tuple[int, int]] = []
        longer = 0  # pods with a longer match, as bits
        top = len(blocks)
        while top:
            low, high = 0, top  # binary search for the longest match of the other pods
            while low < high:
                middle = (low + high + 1) // 2
                if get(blocks[middle - 1], 0) & ~longer if longer else get(blocks[middle - 1]):
                    low = middle
                else:
                    high = middle - 1
            if not low:
                break
            pods = get(blocks[low - 1], 0)
            pods_by_length.append((low, pods & ~longer))
            longer = pods
            top = low - 1
        return Match(tuple(pods_by_length)) if pods_by_length else NO_MATCH
