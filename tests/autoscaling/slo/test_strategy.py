"""Strategy SLO as a whole, on pods that serve requests: what comes is served in time, with few replicas."""

import json
import time
from itertools import pairwise
from math import inf, pi, sin

import pytest

from autoscaling.autoscaler import Autoscaler, autoscaler
from autoscaling.observation import Arrivals, Observation, PodReading
from autoscaling.slo.strategy import Slo, SloSettings
from autoscaling.spec_reading import read
from tests.support.pod_autoscalers import a_pod_autoscaler
from tests.support.served_pods import ServedPods

PROMISE = {"autoscaling.forebay.io/slo-ttft": "2s", "autoscaling.forebay.io/slo-itl": "200ms"}


def a_scaler(least: int = 1, most: int = 8) -> Autoscaler:
    return autoscaler(read(a_pod_autoscaler("SLO", least=least, most=most, annotations=PROMISE)))


def wave(period_s: float):
    """Two to eight requests per second, of which a pod serves 1.33."""
    return lambda now_s: 5 - 3 * sin(2 * pi * (now_s / period_s + 0.25))


def staircase(now_s: float) -> float:
    return 1.8 + 1.8 * min(3, now_s // 360) if now_s < 1440 else 1.8


def test_a_wave_slower_than_a_start_is_followed_before_the_queue_shows_it():
    pods = ServedPods(4)
    pods.follow(a_scaler(), wave(600), 3000)

    assert pods.late(0, 2.0) < 0.01 and pods.late(600, 2.0) < 0.001
    assert pods.pod_seconds / 3000 < 5.3  # a constant number needs 6 or 7


def test_a_wave_faster_than_a_start_gets_what_its_crests_need():
    pods = ServedPods(7)
    pods.follow(a_scaler(), wave(90), 2400)

    assert pods.late(0, 2.0) < 0.001
    assert pods.pod_seconds / 2400 < 6.5


def test_a_staircase_is_climbed_ahead_of_its_steps():
    pods = ServedPods(3)
    pods.follow(a_scaler(least=3), staircase, 1800)

    assert pods.late(0, 2.0) < 0.01
    assert pods.pod_seconds / 1800 < 5


def test_after_a_jump_that_nobody_could_know_the_queue_ends_soon_and_replicas_fall_again():
    pods = ServedPods(3)
    pods.follow(a_scaler(), lambda now_s: 8.0 if 600 < now_s < 1200 else 2.0, 2400)

    assert pods.late(800, 2.0) == 0
    assert len(pods.ready) <= 3


def test_no_traffic_needs_no_replicas_and_the_first_request_one():
    pods, scaler = ServedPods(2), a_scaler(least=0)
    pods.follow(scaler, lambda now_s: 1.0 if now_s < 300 else 0.0, 1500)
    assert 0 == len(pods.ready)

    assert 1 == scaler.decide(Observation(1505.0, 0, 0, 0, arrivals=Arrivals(1, 5.0))).desired


@pytest.mark.parametrize(
    ("observation", "missing"),
    [
        (Observation(700.0, 5, 0), "arrivals are unknown"),
        (
            Observation(700.0, 5, 0, pods=(PodReading("a"),), arrivals=Arrivals(0, 5.0)),
            "no pod tells how many requests it computes",
        ),
    ],
)
def test_without_arrivals_or_pods_replicas_are_kept(observation, missing):
    pods, scaler = ServedPods(5), a_scaler()
    pods.follow(scaler, lambda _: 1.0, 600)

    decision = scaler.decide(observation)

    assert (5, missing) == (decision.desired, decision.missing) and "kept" in decision.reason


@pytest.mark.parametrize("begin_s", [45, 400, 1500])
def test_a_restart_decides_as_though_nothing_had_happened(begin_s: int):
    scaler, pods = a_scaler(), ServedPods(4)
    pods.follow(scaler, wave(300), begin_s)
    kept = json.loads(json.dumps(scaler.state()))
    other = a_scaler()
    other.restore(kept)

    fresh = a_scaler().decide(pods.observe())

    assert len(json.dumps(kept)) < 130_000
    for _ in range(80):
        observation = pods.observe()
        decision = scaler.decide(observation)

        assert decision == other.decide(observation) != fresh

        pods.scale(decision.desired)
        pods.run(wave(300))


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match="state"):
        Slo(read(a_pod_autoscaler("SLO"))).restore({"startup": 3})


def test_at_first_replicas_fall_one_by_one():
    decisions = ServedPods(8).follow(a_scaler(), lambda _: 1.0, 480)
    replicas = [decision.desired for decision in decisions]

    assert {0, 1} == {before - after for before, after in pairwise(replicas)}
    assert replicas[-1] <= 2


def test_nothing_is_bought_in_the_first_minute_unless_requests_wait():
    calm, waiting = ServedPods(2, startup_s=500), ServedPods(1, startup_s=500)

    assert {2} == {decision.desired for decision in calm.follow(a_scaler(), lambda now_s: 1.0 + now_s / 60, 60)}
    assert 1 < waiting.follow(a_scaler(), lambda _: 8.0, 60)[-1].desired


def test_nothing_shrinks_before_a_start_was_seen():
    decisions = ServedPods(6).follow(a_scaler(), lambda _: 1.0, 120)

    assert {6} == {decision.desired for decision in decisions}


def test_a_promise_that_is_not_given_has_a_default():
    assert (3.0, inf) == (SloSettings().slo_ttft_s, SloSettings().slo_itl_s)


def test_a_decision_with_the_longest_history_and_horizon_costs_milliseconds():
    scaler = a_scaler(most=1000)
    pods = tuple(PodReading(str(index), 4.0, 0.0, 0.1) for index in range(5))

    def spent_s(now_s: float, duration_s: float) -> float:
        arrivals = Arrivals(20.0 * duration_s, duration_s)
        observation = Observation(now_s, 5, 1, 0, pods, arrivals=arrivals)  # a pod that never starts
        begin = time.process_time()
        scaler.decide(observation)
        return time.process_time() - begin

    for hour in range(2):
        spent_s(3600.0 * hour, 3600.0)

    assert min(spent_s(7200.0 + 5 * tick, 5.0) for tick in range(20)) < 0.05
