"""The increase of an engine's totals between two scrapes."""

import pytest

from routing.pods.engine_totals import NO_TOTALS, EngineTotals

BEFORE = EngineTotals(itl_sum_s=1.0, itl_count=10, ttft_sum_s=2.0, ttft_count=4, prompt_tokens=100, cached_tokens=50)


def test_the_increase_is_the_difference_of_two_scrapes() -> None:
    increase = EngineTotals(1.5, 20, 5.0, 5, 200, 80).since(BEFORE)

    assert increase == (0.5, 10, 3.0, 1, 100, 30)
    assert (increase.mean_itl_s, increase.computed_tokens) == (0.05, 70)


def test_what_either_scrape_did_not_report_is_unknown() -> None:
    assert BEFORE.since(NO_TOTALS) == NO_TOTALS.since(BEFORE) == NO_TOTALS
    assert (NO_TOTALS.mean_itl_s, NO_TOTALS.computed_tokens) == (None, None)


def test_a_total_that_fell_is_unknown_and_the_others_are_not() -> None:
    assert BEFORE._replace(itl_sum_s=0.5, itl_count=11).since(BEFORE) == (None, 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "totals", [EngineTotals(itl_sum_s=0.0, itl_count=0), EngineTotals(itl_sum_s=1.0), EngineTotals(itl_count=3)]
)
def test_without_tokens_there_is_no_mean_time_between_them(totals: EngineTotals) -> None:
    assert totals.mean_itl_s is None
