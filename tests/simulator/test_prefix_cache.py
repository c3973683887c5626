from simulator.prefix_cache import PrefixCache


def test_a_prompt_hits_the_blocks_it_shares_with_an_earlier_one():
    cache = PrefixCache(blocks=10)

    assert 0 == cache.admit((1, 2, 3))
    assert 2 == cache.admit((1, 2, 4))
    assert 3 == cache.admit((1, 2, 3))


def test_blocks_after_the_first_miss_do_not_count():
    cache = PrefixCache(blocks=10)
    cache.admit((1, 2, 3))

    assert 1 == cache.admit((1, 9, 3))


def test_the_least_recently_used_prompt_goes_first_and_its_tail_before_its_head():
    cache = PrefixCache(blocks=4)
    cache.admit((1, 2))
    cache.admit((3, 4))
    cache.admit((5,))  # evicts 2, the tail of the oldest

    assert 1 == cache.admit((1, 2))
    assert 1 == cache.admit((3, 4))
