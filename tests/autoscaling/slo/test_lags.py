"""Lags: what repeats is foreseen, and what a lag got wrong is added."""

from math import inf, pi, sin

from hypothesis import given
from hypothesis import strategies as st

from autoscaling.slo.lags import GENERATION, MOST_LAG, NEAR, Lags


def observe(values: list[float]) -> Lags:
    lags, means = Lags(), []
    for value in values:
        means.append(value)
        lags.observe(means)
    return lags


def wave(slots: int, period: int) -> list[float]:
    return [5 + 3 * sin(2 * pi * slot / period) for slot in range(slots)]


def test_a_wave_is_foreseen_once_its_lag_is_known_well_enough():
    period, ahead = 60, 20
    lags = observe(wave(3 * period, period))

    coming = wave(3 * period + ahead, period)[-1]
    assert coming - 0.01 <= lags.least(ahead) <= coming + 1


def test_nothing_is_foreseen_before():
    assert inf == observe(wave(38, 60)).least(20)


def test_a_staircase_is_foreseen_by_the_lag_of_its_steps():
    lags = observe([2.0] * 66 + [4.0] * 72 + [6.0] * 60)

    assert 6 == lags.least(1)
    assert 8 == lags.least(20)


def test_a_lag_that_promised_too_much_errs_too():
    assert 6 == observe([8.0] * 20 + [2.0] * 10).errors[20]


@given(st.lists(st.floats(0, 50), min_size=2, max_size=60))
def test_no_lag_was_ever_wrong_by_more_than_its_error(values):
    lags = observe(values)

    for lag in range(NEAR, len(values) - NEAR - 1):
        for now in range(lag + NEAR, len(values)):
            near, error = values[now - lag - NEAR : now - lag + NEAR + 1], lags.errors[lag] + 1e-9
            assert min(near) - error <= values[now] <= max(near) + error


def test_a_wave_of_a_minute_has_lags_without_an_error():
    assert observe(wave(200, 12)).errors[36] < 1e-9


def test_errors_are_forgotten_and_the_past_is_bounded():
    before = [0.0] * 10 + [9.0] * (GENERATION - 11)

    assert 9 == observe(before).errors[20]
    after = observe(before + [9.0] * (2 * GENERATION))
    assert 0 == after.errors[20]
    assert MOST_LAG - NEAR + 1 == len(after.highest)
