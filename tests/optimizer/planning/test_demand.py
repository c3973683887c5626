"""Demand from windows: rates from arrivals, lengths from three requests on, backlogs drained."""

import pytest

from optimizer.planning.demand import ASSUMED, AVERAGE_S, Demand, Estimator
from traffic.window import Window

SHORT, LONG = (70, 60), (110, 100)


def learned(*windows: Window) -> Estimator:
    estimator = Estimator()
    for window in windows:
        estimator.learn(window)
    return estimator


def rate(*arrivals: int) -> float:
    return learned(*(Window(10.0, n) for n in arrivals)).demand().rate


def test_nothing_is_known_before_the_first_window():
    assert Demand(0.0, {}) == Estimator().demand()


def test_three_requests_give_a_rate_and_lengths():
    demand = learned(Window(10.0, 3, {SHORT: 2, LONG: 1})).demand()

    assert (pytest.approx(0.3), {SHORT: pytest.approx(2 / 3), LONG: pytest.approx(1 / 3)}) == (
        demand.rate,
        demand.shares,
    )


def test_the_rate_is_that_of_arrivals_and_not_of_what_completes():
    assert 5.0 == pytest.approx(learned(Window(10.0, 50, {SHORT: 1})).demand().rate)


def test_a_jump_counts_at_once_and_is_forgotten_late():
    assert 40.0 == rate(*[100] * 30, 400)
    assert rate(*[100] * 30, 400, 100, 100, 100) == 40.0
    assert 10.0 < rate(*[100] * 30, 400, *[100] * 10) < 13.0


def test_the_average_remembers_half_after_its_time():
    windows = int(AVERAGE_S / 10)

    assert 50.0 == pytest.approx(rate(*[1000] * 100, *[0] * windows), rel=0.01)


def test_a_backlog_is_drained_in_a_minute():
    estimator = learned(Window(10.0, 100, in_flight=100, queued=30))

    assert (12.0, 2.0) == (
        pytest.approx(estimator.demand(in_flight=10.0).rate),
        pytest.approx(estimator.demand(in_flight=10.0).backlog_rate),
    )
    assert 10.0 == estimator.demand(in_flight=200.0).rate


def test_new_lengths_replace_old_ones_and_old_ones_are_not_quite_forgotten():
    day, hour = [Window(10.0, 10, {SHORT: 10})] * 360, [Window(10.0, 10, {LONG: 10})] * 360

    shares = learned(*day, *hour).demand().shares

    assert shares[LONG] > 0.9
    assert 0.01 < shares[SHORT] < 0.1


def test_a_quiet_model_remembers_its_lengths():
    shares = learned(*[Window(10.0, 10, {SHORT: 5, LONG: 5})] * 60, *[Window(10.0, 0)] * 720).demand().shares

    assert {SHORT: pytest.approx(0.5), LONG: pytest.approx(0.5)} == shares


def test_long_requests_that_arrive_and_do_not_complete_are_counted():
    window = Window(10.0, 100, {SHORT: 50, LONG: 1}, arrived_inputs={SHORT[0]: 50, LONG[0]: 50})

    assert {SHORT: pytest.approx(0.5), LONG: pytest.approx(0.5)} == learned(window).demand().shares


def test_an_input_that_never_completed_has_the_outputs_of_the_nearest():
    window = Window(10.0, 100, {SHORT: 50, LONG: 5}, arrived_inputs={SHORT[0]: 50, 120: 50})

    assert {SHORT: pytest.approx(0.5), (120, LONG[1]): pytest.approx(0.5)} == learned(window).demand().shares


def test_a_length_of_which_no_request_was_counted_is_none():
    estimator = Estimator()
    estimator.learn(Window(10.0, 3, {(70, 50): 3, (110, 80): 0}, {70: 3, 110: 0}))

    assert [(70, 50)] == list(estimator.demand().shares)


def test_lengths_are_assumed_until_a_request_has_completed():
    unknown, told = learned(Window(10.0, 3)), learned(Window(10.0, 3, arrived_inputs={70: 3}))

    assert (True, {ASSUMED: 1.0}) == (unknown.demand().is_assumed, unknown.demand().shares)
    assert (True, {(70, ASSUMED[1]): 1.0}) == (told.demand().is_assumed, told.demand().shares)
    assert not learned(Window(10.0, 3), Window(10.0, 3, {SHORT: 1})).demand().is_assumed
