from simulator.core.blocks import KvBlocks, Removed


def filled(blocks: KvBlocks, *hashes: int) -> None:
    """Take blocks, fill them and give them back."""
    assert blocks.allocate(len(hashes))
    for block in hashes:
        blocks.register(block)
    blocks.release(hashes, 0)


def test_full_blocks_stay_reusable_after_they_were_given_back():
    blocks = KvBlocks(4)
    filled(blocks, 1, 2)

    assert (4, 2, 0.0) == (blocks.free, blocks.cached_prefix([1, 2, 3], 3), blocks.usage)


def test_a_prefix_ends_at_its_first_gap():
    blocks = KvBlocks(4)
    filled(blocks, 1, 3)

    assert 1 == blocks.cached_prefix([1, 2, 3], 3)


def test_no_more_is_found_than_asked_for():
    blocks = KvBlocks(4)
    filled(blocks, 1, 2)

    assert 1 == blocks.cached_prefix([1, 2], 1)


def test_the_tail_is_evicted_before_the_head():
    blocks = KvBlocks(3)
    filled(blocks, 1, 2, 3)
    blocks.allocate(1)

    assert 2 == blocks.cached_prefix([1, 2, 3], 3)


def test_the_least_recently_used_is_evicted_first():
    blocks = KvBlocks(3)
    filled(blocks, 1)
    filled(blocks, 2)
    assert blocks.allocate_with_prefix([1], 1, 0)
    blocks.release([1], 0)
    blocks.allocate(2)

    assert (1, 0) == (blocks.cached_prefix([1], 1), blocks.cached_prefix([2], 1))


def test_claimed_blocks_are_held_and_not_evicted():
    blocks = KvBlocks(2)
    filled(blocks, 1)
    assert blocks.allocate_with_prefix([1], 1, 1)

    assert (0, False, 1.0) == (blocks.free, blocks.allocate(1), blocks.usage)


def test_the_prefix_itself_does_not_count_as_free_for_the_rest():
    blocks = KvBlocks(2)
    filled(blocks, 1, 2)

    assert (False, 2) == (blocks.allocate_with_prefix([1, 2, 3], 2, 1), blocks.free)


def test_too_many_blocks_are_not_taken_in_part():
    blocks = KvBlocks(2)

    assert (False, 2) == (blocks.allocate(3), blocks.free)


def test_two_sequences_that_computed_the_same_block_share_one():
    blocks = KvBlocks(4)
    blocks.allocate(2)
    blocks.register(1)
    blocks.register(1)
    shared = blocks.free
    blocks.release([1], 0)

    assert (3, 3) == (shared, blocks.free)


def test_a_block_that_was_computed_again_while_it_was_cached_is_kept_once():
    blocks = KvBlocks(4)
    filled(blocks, 1)
    blocks.allocate(1)
    blocks.register(1)

    assert 3 == blocks.free


def test_blocks_without_a_hash_are_empty_after_release():
    blocks = KvBlocks(2)
    filled(blocks, 1)
    blocks.allocate(1)
    blocks.release((), 1)
    blocks.allocate(1)

    assert 1 == blocks.cached_prefix([1], 1)


def test_evictions_are_appended_to_the_changes():
    changes = []
    blocks = KvBlocks(3, changes)
    filled(blocks, 1, 2, 3)
    blocks.allocate(2)

    assert [Removed(3), Removed(2)] == changes


def test_a_cleared_cache_has_all_blocks_free_that_are_not_held():
    blocks = KvBlocks(4)
    filled(blocks, 1, 2)
    blocks.allocate(1)

    blocks.clear()

    assert (3, 0) == (blocks.free, blocks.cached_prefix([1, 2], 2))
