"""The quantile of answers' lengths: near the exact one, and bounded however much is learned."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounting.lengths import BUCKETS_PER_DOUBLING, MEMORY, Lengths

A_BUCKET = 2 ** (1 / BUCKETS_PER_DOUBLING)
LENGTHS = st.integers(0, 40) | st.integers(0, 2**31 - 1)


def exact_quantile(seen: list[int], share: float) -> int:
    """The smallest length that `share` of the evidence does not exceed, the evidence fading with age."""
    fade = 1 - 1 / MEMORY
    weighted = sorted((length, fade**age) for age, length in enumerate(reversed(seen)))
    left = share * sum(weight for _, weight in weighted)
    for length, weight in weighted:
        left -= weight
        if left <= 1e-9:
            return length
    return weighted[-1][0]


@given(st.lists(LENGTHS, min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.9, 0.99]))
def test_it_is_at_most_a_bucket_above_the_exact_one_and_never_below(seen: list[int], share: float):
    lengths = Lengths(share)
    for length in seen:
        lengths.learn(length)

    exact = exact_quantile(seen, share)
    # Where the share falls on the border of two lengths, floating point may take the next one.
    above = exact_quantile(seen, min(1.0, share + 1e-9))
    assert exact <= lengths.quantile <= above * A_BUCKET
    assert len(seen) == lengths.count


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_it_follows_a_change_of_traffic(before: int, after: int):
    lengths = Lengths(0.9)
    for length in [before] * 1000 + [after] * 3 * MEMORY:
        lengths.learn(length)

    assert after <= lengths.quantile <= max(after * A_BUCKET, before if before < after else 0)


def test_nothing_learned_is_nothing_expected():
    assert (0, 0) == (Lengths(0.9).quantile, Lengths(0.9).count)


def test_memory_is_a_kilobyte_however_much_is_learned_and_the_quantile_stays_true():
    lengths = Lengths(0.9)
    for number in range(20_000):
        lengths.learn(number * 107_374_182 % 2**31)
    for _ in range(20_000):
        lengths.learn(5)

    assert (5, True) == (lengths.quantile, sys.getsizeof(lengths._weights) < 1200)
    assert lengths._weight < 1e13
    assert lengths._total == pytest.approx(sum(lengths._weights))
