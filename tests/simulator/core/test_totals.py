import pytest

from simulator.core.totals import Totals


def test_times_between_tokens_are_counted_in_buckets_and_summed_exactly():
    totals = Totals()
    totals.observe_itl(0.01234, 2)
    totals.observe_itl(0.01239, 1)

    assert {123: 3} == totals.itl_histogram
    assert (0.03707, 3) == pytest.approx((totals.itl_sum_s, totals.itl_count))
