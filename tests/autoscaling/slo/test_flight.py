"""Requests in flight: what began together ends together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaling.slo.flight import Flight


def test_requests_end_a_service_time_after_they_began():
    flight = Flight()
    flight.advance(0.25)
    flight.admit(8)

    assert [0, 4, 4] == [flight.advance(progress) for progress in (0.75, 0.125, 0.125)]


def test_a_pod_that_was_full_at_once_is_empty_at_once():
    flight = Flight()
    flight.advance(0.01)
    flight.admit(16)

    assert [0, 0, 0, 16] == [round(flight.advance(0.27)) for _ in range(4)]


def test_requests_shorter_than_a_step_end_in_it_but_for_the_last():
    flight = Flight()
    flight.advance(4)
    flight.admit(10)

    assert 10 == flight.count
    assert 10 == flight.advance(4)


def test_what_is_seen_to_run_corrects_it():
    flight = Flight()
    flight.match(16)
    assert 16 == pytest.approx(flight.count)
    assert 4 == pytest.approx(flight.advance(0.25))

    flight.match(6)
    assert 6 == pytest.approx(flight.count)

    flight.match(0)
    assert 0 == flight.count


@given(st.lists(st.tuples(st.floats(0.01, 3), st.floats(0, 50)), max_size=40))
def test_nothing_is_lost_and_nothing_stays_for_more_than_a_service_time(steps):
    flight, admitted, ended = Flight(), 0.0, 0.0
    for progress, count in steps:
        ended += flight.advance(progress)
        flight.admit(count)
        admitted += count

        assert admitted == pytest.approx(ended + flight.count)
        assert all(flight.clock - 1 <= begin + 1e-9 for begin, _, _ in flight.cohorts)
    assert admitted == pytest.approx(ended + flight.advance(1.0))
