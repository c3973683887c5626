"""Which prompt blocks an engine still holds: LRU over chained block hashes.

Lives here: hits and eviction.  Not here: hashing (tokens), blocks held by running sequences (timing).
"""

from collections import OrderedDict
from collections.abc import Sequence as Series


class PrefixCache:
    """At most `blocks` blocks of finished or running prompts, the least recently used evicted first."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._used: OrderedDict[int, None] = OrderedDict()

    def admit(self, hashes: Series[int]) -> int:
        """Keep the blocks of a prompt, first block first; return how many of its first blocks were there already."""
        hits = next((index for index, block in enumerate(hashes) if block not in self._used), len(hashes))
        for block in reversed(hashes):  # the tail is older than the head: a head without its tail is still a prefix
            self._used[block] = None
            self._used.move_to_end(block)
        while len(self._used) > self._blocks:
            self._used.popitem(last=False)
        return hits
