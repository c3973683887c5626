"""Rules around all strategies: bounds, schedules, wakes, a lost past, and state over restarts."""

import pytest

from autoscaling.autoscaler import Autoscaler, autoscaler
from autoscaling.spec_reading import read
from tests.support.observations import seen
from tests.support.pod_autoscalers import a_pod_autoscaler

NO_DELAY = {"kpa.autoscaling.aibrix.ai/scale-down-delay": "0s"}


def a_scaler(least: int = 0, is_cold: bool = False, **spec: object) -> Autoscaler:
    return autoscaler(read(a_pod_autoscaler(least=least, annotations=NO_DELAY, **spec)), is_cold=is_cold)


def test_bounds_are_kept_and_named():
    decision = a_scaler(maxReplicas=3).decide(seen(0, 2, 100, 100))

    assert 3 == decision.desired and decision.reason.endswith("bounds 0 to 3")


def test_kept_replicas_are_within_bounds_too():
    assert (3, "no value of running") == (
        a_scaler(maxReplicas=3).decide(seen(0, 5)).desired,
        a_scaler(maxReplicas=3).decide(seen(0, 5)).missing,
    )


def test_a_schedule_raises_the_bounds_and_is_named():
    always = {"name": "always", "startTime": "00:00", "endTime": "23:59", "minReplicas": 4}

    decision = a_scaler(schedules=[always]).decide(seen(3600, 1, 1))

    assert 4 == decision.desired and "schedule always 4 to 10" in decision.reason


def test_a_wake_starts_a_replica_and_keeps_it_until_it_was_ready_and_idle():
    scaler = a_scaler()
    for now_s in range(0, 100, 2):
        assert 0 == scaler.decide(seen(now_s, 0)).desired

    assert 1 == scaler.decide(seen(100, 0, wakes=True)).desired
    assert {1} == {scaler.decide(seen(now_s, 0, starting=1)).desired for now_s in range(102, 200, 2)}
    assert {1} == {scaler.decide(seen(now_s, 1, 0)).desired for now_s in range(200, 260, 2)}
    assert 0 == scaler.decide(seen(260, 1, 0)).desired


def test_a_wake_starts_the_activation_scale():
    annotations = {"kpa.autoscaling.aibrix.ai/activation-scale": "3"}
    scaler = autoscaler(read(a_pod_autoscaler(least=0, annotations=annotations)))

    decision = scaler.decide(seen(0, 0, wakes=True))

    assert 3 == decision.desired and "woken" in decision.reason


def test_a_target_whose_past_is_lost_shrinks_only_after_its_window():
    fresh, cold = a_scaler(), a_scaler(is_cold=True)

    assert (0, 1) == (fresh.decide(seen(0, 1, 0)).desired, cold.decide(seen(0, 1, 0)).desired)
    assert {1} == {cold.decide(seen(now_s, 1, 0)).desired for now_s in range(2, 60, 2)}
    assert 0 == cold.decide(seen(60, 1, 0)).desired


def test_a_long_gap_is_a_lost_past_and_a_short_one_is_not():
    short, long = a_scaler(), a_scaler()
    for scaler in (short, long):
        scaler.decide(seen(0, 1, 10))
    state = short.state()
    restored = a_scaler()
    restored.restore(state)

    assert 0 == restored.decide(seen(59, 1, 0)).desired - 1  # the window still holds the load
    assert 1 == long.decide(seen(100, 1, 0)).desired and "of 60 s were seen" in long.decide(seen(102, 1, 0)).reason
    assert 0 == long.decide(seen(160, 1, 0)).desired


def test_a_window_that_is_shorter_than_the_time_between_decisions_is_no_gap():
    scaler = autoscaler(read(a_pod_autoscaler("APA", annotations={"apa.autoscaling.aibrix.ai/window": "2s"})))
    scaler.decide(seen(0, 2, 20, 20))

    assert 1 == scaler.decide(seen(10.5, 2, 0, 0)).desired  # a decision every 10 s, and one is a little late


def test_a_state_keeps_a_wake_over_a_restart():
    before, after = a_scaler(), a_scaler()
    before.decide(seen(0, 0, wakes=True))
    after.restore(before.state())

    assert 1 == after.decide(seen(2, 0)).desired


def test_no_state_is_a_state_and_those_of_others_are_refused():
    scaler = a_scaler()
    scaler.restore(scaler.state())
    scaler.decide(seen(0, 1, 1))

    with pytest.raises(ValueError, match="of strategy XPA"):
        a_scaler().restore(scaler.state() | {"strategy": "XPA"})
    with pytest.raises(ValueError, match="no state of KPA"):
        a_scaler().restore(scaler.state() | {"inner": {}})
    with pytest.raises(ValueError, match="no state of an autoscaler"):
        a_scaler().restore({"at_s": 3})
