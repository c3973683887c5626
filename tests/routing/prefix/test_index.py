"""The index of prefix caches: against a plain oracle, and each property by itself."""

import random
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.prefix.index import NO_MATCH, SLACK, Cache, Match, PrefixIndex


def holders(index: PrefixIndex, blocks: Sequence[int], *caches: Cache) -> list[int]:
    """How many leading blocks each cache holds."""
    match = index.match(blocks)
    return [match.blocks(cache.slot) for cache in caches]


def insert(cache: Cache, blocks: Sequence[int], now_s: float = 0.0) -> object:
    return cache.insert(blocks, cache.index.match(blocks).blocks(cache.slot), now_s)


class Oracle:
    """A plain LRU: heads younger than tails."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used: OrderedDict[int, None] = OrderedDict()

    def insert(self, blocks: Sequence[int]) -> None:
        for block in reversed(blocks):
            self.used[block] = None
            self.used.move_to_end(block)
        while len(self.used) > self.budget:
            self.used.popitem(last=False)

    def leading(self, blocks: Sequence[int]) -> int:
        return next((index for index, block in enumerate(blocks) if block not in self.used), len(blocks))


def chain(conversation: int, length: int) -> list[int]:
    """The first blocks of a conversation; all share block 0, and every second one block 1 too."""
    own = [1000 * (conversation + 1) + position for position in range(2, 40)]
    return [0, conversation % 2 + 1, *own][:length]


calls = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 40)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=200)
@given(calls=calls, budget=st.integers(40, 120))
def test_matches_and_evictions_are_those_of_a_plain_lru(calls: list[tuple[int, int, int]], budget: int) -> None:
    index = PrefixIndex()
    caches = [index.join(budget) for _ in range(3)]
    oracles = [Oracle(budget) for _ in range(3)]
    for pod, conversation, length in calls:
        blocks = chain(conversation, length)
        insert(caches[pod], blocks)
        oracles[pod].insert(blocks)
        for other in range(6):
            whole = chain(other, 40)
            assert [oracle.leading(whole) for oracle in oracles] == holders(index, whole, *caches)
        assert [len(oracle.used) for oracle in oracles] == [cache.held for cache in caches]


@settings(deadline=None)
@given(calls=calls)
def test_what_is_withdrawn_was_never_there(calls: list[tuple[int, int, int]]) -> None:
    index = PrefixIndex()
    kept, tried = index.join(10_000), index.join(10_000)
    records = []
    for pod, conversation, length in calls:
        insert(kept, chain(conversation, length))
        records.append(insert(tried, chain(conversation, length)))
        if pod:
            insert(tried, chain(conversation + 10, length))
    for record in records:
        tried.withdraw(record)
    survivors = [chain(conversation + 10, length) for pod, conversation, length in calls if pod]

    assert all(holders(index, blocks, tried) == [len(blocks)] for blocks in survivors)
    assert tried.held == len({block for blocks in survivors for block in blocks})


def test_a_match_has_the_blocks_of_each_pod_once() -> None:
    index = PrefixIndex()
    a, b, c = (index.join(100) for _ in range(3))
    insert(a, [1, 2, 3, 4])
    insert(b, [1, 2])

    assert index.match([1, 2, 3, 9]) == Match(((3, a.bit), (2, b.bit)))
    assert holders(index, [1, 2, 3, 9], a, b, c) == [3, 2, 0]
    assert index.match([7]) is index.match([]) is NO_MATCH


def test_a_long_prompt_is_not_walked() -> None:
    index, looks = PrefixIndex(), 0

    class Counted(list[int]):
        def __getitem__(self, position):  # type: ignore[no-untyped-def,override]  # counts whatever index is asked for
            nonlocal looks
            looks += 1
            return super().__getitem__(position)

    blocks = list(range(1, 10_001))
    insert(index.join(100_000), blocks)
    insert(index.join(100_000), blocks[:5000])
    index.match(Counted(blocks))

    assert looks < 60


def test_a_pod_that_restarts_or_leaves_holds_nothing_and_its_bit_is_used_again() -> None:
    index = PrefixIndex()
    a, b = index.join(100), index.join(100)
    insert(a, [1, 2])
    insert(b, [1, 2])

    a.clear()
    assert (holders(index, [1, 2], a, b), a.held) == ([0, 2], 0)

    index.leave(b)
    assert (index.blocks, index.join(100).slot) == (0, b.slot)


def test_a_record_that_outlives_its_pod_takes_nothing_from_the_next() -> None:
    index = PrefixIndex()
    gone = index.join(100)
    record = insert(gone, [1, 2])
    index.leave(gone)
    new = index.join(100)
    insert(new, [1, 2])

    gone.withdraw(record)  # type: ignore[arg-type]  # the record of an insert

    assert holders(index, [1, 2], new) == [2]


def test_regret_is_nothing_until_something_is_evicted() -> None:
    index = PrefixIndex()
    cache = index.join(10)
    insert(cache, range(1, 9), now_s=5.0)

    assert [cache.eviction_cost(new, 6.0) for new in (0, 2, 3, 100)] == [
        0.0,
        0.0,
        1.0,
        8.0,
    ]  # any block may be asked for again
    assert (cache.oldest_s(6.0), index.join(10).oldest_s(6.0)) == (5.0, 6.0)


def test_memory_stays_flat_under_endless_unique_and_endless_repeated_prompts() -> None:
    index, rng = PrefixIndex(), random.Random(1)
    cache = index.join(500)
    for turn in range(2000):
        insert(cache, range(turn * 1000 + 1000, turn * 1000 + 1030))
        insert(cache, range(1, 30 + rng.randrange(10)))

        assert cache.held <= 500
        assert cache.entries <= 2 * cache.held + SLACK
        assert index.blocks == cache.held
    assert cache.entries == sum(len(record.blocks) for record in cache._records)
    assert sum(cache._repeated.values()) == cache.entries - cache.held


def test_the_same_short_prompt_for_ever_leaves_few_records() -> None:
    cache = PrefixIndex().join(500)
    for _ in range(5 * SLACK):
        insert(cache, [1])

    assert len(cache._records) <= SLACK + 2


def test_a_record_takes_eight_bytes_a_block() -> None:
    assert insert(PrefixIndex().join(10), [1, 2]).blocks == array("q", [1, 2])  # type: ignore[attr-defined]  # a Record


def test_an_insert_of_another_replica_is_withdrawn_by_its_blocks() -> None:
    cache = PrefixIndex().join(100)
    own, theirs = cache.insert([1, 2], 0, 0.0), cache.insert([1, 2], 2, 0.0)
    theirs.is_own = False
    cache.withdraw_equal([1])
    assert 4 == cache.entries

    for _ in range(2):  # the second time there is none
        cache.withdraw_equal([1, 2])
    assert ([1, 2], []) == (list(own.blocks), list(theirs.blocks))
    assert [own] == list(cache.latest())


def test_a_chain_with_a_block_twice_harms_nothing() -> None:
    index = PrefixIndex()
    cache = index.join(3)
    for _ in range(3):
        insert(cache, [7, 7, 8, 7])
    cache.clear()

    assert (0, 0, 0) == (cache.held, cache.entries, index.blocks)
