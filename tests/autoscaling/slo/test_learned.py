"""Learning from observations, and from those that lack values."""

import pytest

from autoscaling.observation import Arrivals, Latency, Observation, PodReading
from autoscaling.slo.learned import Learned

STEADY = Arrivals(10, 5.0, None, 10 * 200)
"""Two requests per second, 200 tokens each."""
LATENCY = Latency(0.1, 10, 0.01, 2000)
"""Two seconds of decoding."""


def teach(learned: Learned, times: range, pods: int = 2, running: float | None = 2.1, **values: object) -> Learned:
    given = {"arrivals": STEADY, "latency": LATENCY} | values
    for now_s in times:
        readings = tuple(PodReading(str(index), running, 0.0, 0.05) for index in range(pods))
        learned.observe(Observation(now_s, 2, 0, 0, readings, **given))
    return learned


def test_lengths_service_times_and_demand_are_learned():
    learned = teach(Learned(), range(0, 200, 5))

    assert 200 == pytest.approx(learned.output_tokens, rel=0.05)
    assert 2.1 == pytest.approx(learned.curve().seconds(2.1), rel=0.1)
    assert 2 == learned.demand.now
    assert 4.2 == pytest.approx(learned.flight.count)


def test_a_pod_that_was_not_read_counts_as_the_others():
    assert 4.2 == teach(Learned(), range(0, 50, 5), pods=1).running


def test_without_latencies_the_service_time_follows_from_arrivals():
    learned = teach(Learned(), range(0, 200, 5), latency=None, arrivals=Arrivals(10, 5.0))

    assert 1 == learned.output_tokens
    assert 2.1 == pytest.approx(learned.curve().seconds(2), rel=0.1)


def test_time_of_which_nothing_was_told_had_the_same_demand():
    learned = teach(Learned(), range(0, 200, 5))
    before = learned.demand.lags.slots

    teach(learned, range(495, 500, 5))

    assert before + 60 == pytest.approx(learned.demand.lags.slots, abs=1) and 2 == learned.demand.now


def test_windows_longer_than_the_interval_are_no_gap():
    learned = Learned()
    for now_s in range(0, 200, 5):
        told = Arrivals(20, 10.0, None, 4000) if now_s % 10 == 0 else Arrivals(0, 0.0)
        teach(learned, range(now_s, now_s + 5, 5), arrivals=told)

    assert 40 == learned.demand.lags.slots and 2 == learned.demand.now


def test_longer_answers_take_longer():
    learned = teach(Learned(), range(0, 200, 5))
    before = learned.curve().seconds(4)

    teach(learned, range(200, 2000, 5), arrivals=Arrivals(10, 5.0, None, 10 * 400))

    assert 2 * before == pytest.approx(learned.curve().seconds(4), rel=0.1)


def test_another_engine_is_learned_anew():
    learned = teach(Learned(), range(0, 200, 5))

    teach(learned, range(200, 400, 5), latency=Latency(0.1, 10, 0.05, 2000))

    assert 10.1 == pytest.approx(learned.curve().seconds(2.1), rel=0.1)


def test_values_that_are_absent_teach_nothing():
    learned = Learned()

    teach(learned, range(0, 100, 5), running=None, arrivals=None, latency=None)

    assert 0 == learned.demand.lags.slots and learned.curve() is None and 0 == learned.running
