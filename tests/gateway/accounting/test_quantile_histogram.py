"""The decayed quantile: near the exact one, and in bounded memory however much is added."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounting.quantile_histogram import BUCKETS_PER_DOUBLING, DECAY_OBSERVATIONS, DecayedQuantileHistogram

BUCKET_RATIO = 2 ** (1 / BUCKETS_PER_DOUBLING)
VALUES = st.integers(0, 40) | st.integers(0, 2**31 - 1)


def exact_quantile(observations: list[int], quantile: float) -> int:
    """The smallest value that `quantile` of the weight does not exceed, weights decaying with age."""
    decay = 1 - 1 / DECAY_OBSERVATIONS
    weighted = sorted((value, decay**age) for age, value in enumerate(reversed(observations)))
    left = quantile * sum(weight for _, weight in weighted)
    for value, weight in weighted:
        left -= weight
        if left <= 1e-9:
            return value
    return weighted[-1][0]


@given(st.lists(VALUES, min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.9, 0.99]))
def test_it_is_at_most_a_bucket_above_the_exact_one_and_never_below(observations: list[int], quantile: float):
    histogram = DecayedQuantileHistogram(quantile)
    for value in observations:
        histogram.add(value)

    exact = exact_quantile(observations, quantile)
    # Where the quantile falls on the border of two values, floating point may take the next one.
    above = exact_quantile(observations, min(1.0, quantile + 1e-9))
    assert exact <= histogram.value <= above * BUCKET_RATIO
    assert len(observations) == histogram.count


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_it_follows_a_change_of_traffic(before: int, after: int):
    histogram = DecayedQuantileHistogram(0.9)
    for value in [before] * 1000 + [after] * 3 * DECAY_OBSERVATIONS:
        histogram.add(value)

    assert after <= histogram.value <= max(after * BUCKET_RATIO, before if before < after else 0)


def test_it_is_zero_before_the_first_observation():
    assert (0, 0) == (DecayedQuantileHistogram(0.9).value, DecayedQuantileHistogram(0.9).count)


def test_memory_is_a_kilobyte_however_much_is_added_and_the_quantile_stays_true():
    histogram = DecayedQuantileHistogram(0.9)
    for number in range(20_000):
        histogram.add(number * 107_374_182 % 2**31)
    for _ in range(20_000):
        histogram.add(5)

    assert (5, True) == (histogram.value, sys.getsizeof(histogram._weights) < 1200)
    assert histogram._next_weight < 1e13
    assert histogram._total_weight == pytest.approx(sum(histogram._weights))
