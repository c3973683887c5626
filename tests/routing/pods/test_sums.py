"""What two looks at an engine's sums say together."""

import pytest

from routing.pods.sums import NO_SUMS, Sums

BEFORE = Sums(itl_sum_s=1.0, itl_count=10, ttft_sum_s=2.0, ttft_count=4, prompt_tokens=100, cached_tokens=50)


def test_what_came_between_two_looks_is_the_difference() -> None:
    news = Sums(1.5, 20, 5.0, 5, 200, 80).since(BEFORE)

    assert news == (0.5, 10, 3.0, 1, 100, 30)
    assert (news.itl_s, news.computed_tokens) == (0.05, 70)


def test_what_either_look_did_not_tell_is_unknown() -> None:
    assert BEFORE.since(NO_SUMS) == NO_SUMS.since(BEFORE) == NO_SUMS
    assert (NO_SUMS.itl_s, NO_SUMS.computed_tokens) == (None, None)


def test_a_sum_that_went_back_says_nothing_and_the_others_do() -> None:
    assert BEFORE._replace(itl_sum_s=0.5, itl_count=11).since(BEFORE) == (None, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("sums", [Sums(itl_sum_s=0.0, itl_count=0), Sums(itl_sum_s=1.0), Sums(itl_count=3)])
def test_without_tokens_nothing_is_between_them(sums: Sums) -> None:
    assert sums.itl_s is None
