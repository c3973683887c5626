"""The end of concurrency: KV cache, seats, promised ITL."""

from math import inf

import pytest

from autoscaling.observation import PodReading
from autoscaling.slo.concurrency import KV_FULL, PRIOR_SEATS, Concurrency
from autoscaling.slo.service import Curve

FLAT = Curve(1.0, 1.0, 0.0)


def observe(*readings: tuple[float, float, float | None]) -> Concurrency:
    concurrency = Concurrency()
    for running, waiting, kv_usage in readings:
        concurrency.observe([PodReading("a", running, waiting, kv_usage)])
    return concurrency


def test_the_cache_ends_it():
    assert KV_FULL / 0.02 == observe((20, 0, 0.4)).end(20, FLAT, inf)


def test_requests_that_wait_beside_a_free_cache_wait_for_seats():
    assert 12 == observe((12, 3, 0.1), (12, 4, 0.1)).end(12, FLAT, inf)


def test_a_request_that_just_came_tells_no_seats():
    assert inf == observe((12, 1, 0.1), *[(11, 1, 0.1)] * 9).seats


def test_more_at_once_disprove_the_seats():
    assert inf == observe((12, 3, 0.1), (12, 4, 0.1), (13, 0, 0.1)).seats


def test_requests_that_wait_for_the_cache_tell_no_seats():
    assert inf == observe((50, 9, 0.96), (50, 9, 0.96)).seats


def test_a_cache_that_was_not_read_once_is_not_taken_for_free():
    assert inf == observe((50, 0, 0.96), (50, 9, None), (50, 9, None)).seats
    assert 50 == observe((50, 9, None), (50, 9, None), (50, 9, None)).seats  # where it is never told, whatever it is


@pytest.mark.parametrize(("seen", "end"), [(0, PRIOR_SEATS), (5, 16), (16, 16), (17, 32), (40, 64)])
def test_as_long_as_the_cache_is_far_the_next_power_of_two_is_taken(seen, end):
    assert end == observe((4, 0, 0.004)).end(seen, FLAT, inf)


def test_the_promised_itl_ends_it():
    assert 5 == observe((20, 0, 0.4)).end(20, Curve(4.0, 20, 1.0), 1.0)


def test_there_is_always_one():
    assert 1 == observe((20, 0, 0.4)).end(20, Curve(4.0, 20, 1.0), 0.001)


def test_engines_that_tell_no_cache_are_bounded_by_what_was_seen():
    assert 32 == observe((20, 0, None)).end(20, FLAT, inf)


def test_another_engine_may_have_other_seats():
    concurrency = observe((12, 3, 0.1), (12, 4, 0.1))

    concurrency.forget()

    assert inf == concurrency.seats
