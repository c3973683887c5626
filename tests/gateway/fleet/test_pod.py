"""One pod's state: discovery's description and what the gateway adds."""

from pathlib import Path

import pytest

from gateway.discovery.probing.engine_metrics import parse
from gateway.discovery.probing.readings import Readings
from gateway.fleet.pod import MAX_EJECTION_S, MIN_EJECTION_S, OUTCOME_DELAY_S, PodState, pod_identity
from routing.pods.engine_totals import EngineTotals
from routing.pods.load import Work
from routing.types import PodView, Signal
from tests.support.pods import a_pod, an_endpoint


def test_a_new_pod_is_ready_before_its_first_health_check() -> None:
    assert a_pod().state == PodState.READY
    assert a_pod().endpoint.ready


def test_a_pod_is_what_strategies_may_read_and_knows_no_signal_yet() -> None:
    view: PodView = a_pod(in_flight=3)

    assert view.in_flight == 3
    assert [None] * len(Signal) == [view.signal(signal, 0.0) for signal in Signal]


def test_routing_reads_ready_and_draining_of_discovery_and_gateway_combined() -> None:
    pod = a_pod(labels={"kept": "yes"})

    pod.set_health(False)
    pod.set_draining(True)

    assert (pod.endpoint.ready, pod.endpoint.draining, pod.endpoint.labels) == (False, True, {"kept": "yes"})


def test_health_outlives_a_new_description_and_not_an_absence() -> None:
    pod = a_pod()
    pod.set_health(False)

    pod.update(an_endpoint(labels={"new": "label"}))
    assert (pod.state, pod.endpoint.labels) == (PodState.UNHEALTHY, {"new": "label"})

    pod.reset(an_endpoint(), pod.cache)
    assert pod.state == PodState.READY


def test_setters_report_only_changes() -> None:
    pod = a_pod()

    assert [pod.set_health(healthy) for healthy in (True, False, False, True)] == [False, True, False, True]
    assert [pod.set_draining(draining) for draining in (True, True, False)] == [True, False, True]


@pytest.mark.parametrize(
    ("described", "healthy", "draining", "gone", "state"),
    [
        ({}, True, False, False, PodState.READY),
        ({}, False, False, False, PodState.UNHEALTHY),
        ({"ready": False}, False, False, False, PodState.NOT_READY),
        ({"ready": False, "draining": True}, False, False, False, PodState.DRAINING),
        ({}, False, True, False, PodState.DRAINING),
        ({}, True, True, True, PodState.GONE),
    ],
)
def test_the_state_is_the_first_reason_that_applies(
    described: dict[str, bool], healthy: bool, draining: bool, gone: bool, state: PodState
) -> None:
    pod = a_pod(**described)
    pod.set_health(healthy)
    pod.set_draining(draining)
    pod.gone = gone

    assert pod.state == state


def test_failures_of_one_moment_eject_once_and_each_failed_trial_doubles_the_time() -> None:
    pod, now_s = a_pod(), 100.0
    asides = []
    for _ in range(7):
        for late_s in (0.0, 0.1):
            pod.record_outcome(True, now_s, now_s + late_s)
        asides.append(next(after for after in range(1, 99) if not pod.is_ejected(now_s + after)))
        now_s += asides[-1]

    assert asides == [1, 2, 4, 8, 16, 30, 30]
    assert (MIN_EJECTION_S, MAX_EJECTION_S) == (1, 30)


def test_a_failure_of_a_request_sent_before_a_pod_came_back_does_not_eject_it() -> None:
    pod = a_pod()
    pod.record_outcome(True, 10.0, 10.0)
    pod.record_outcome(False, 11.5, 12.0)

    pod.record_outcome(True, 9.0, 20.0)  # tried here and answered by another at last
    assert not pod.is_ejected(20.0)
    pod.record_outcome(True, 13.0, 20.0)
    assert pod.is_ejected(20.5)


def test_a_trial_is_over_when_its_outcome_is_known() -> None:
    pod, work = a_pod(), Work(1, 1, 1, None)
    pod.record_outcome(True, 10.0, 10.0)
    pod.start(work, 12.0)
    pod.end(work, 13.0)

    assert pod.is_ejected(13.0 + OUTCOME_DELAY_S / 2)
    assert not pod.is_ejected(13.0 + OUTCOME_DELAY_S)


@pytest.mark.parametrize("change", [{"address": "10.9.9.9:1"}, {"started_at": 5.0}, {"id": "other"}])
def test_another_id_address_or_start_makes_another_pod(change: dict[str, object]) -> None:
    assert pod_identity(an_endpoint(**change)) != pod_identity(an_endpoint())


def test_other_labels_and_models_do_not_make_another_pod() -> None:
    assert pod_identity(an_endpoint(labels={"a": "b"}, models=("x",), ready=False)) == pod_identity(an_endpoint())


RECORDINGS = Path(__file__).parents[1] / "discovery" / "probing" / "recordings"
SGLANG = b"""# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="m"} 2.0
sglang:num_queue_reqs{model_name="m"} 4.0
"""


def work(sequences: int = 1) -> Work:
    return Work(1, 1, 1, None, sequences=sequences)


@pytest.mark.parametrize(
    ("engine", "page"),
    [("vllm", (RECORDINGS / "metrics_running2_waiting4.prom").read_bytes()), ("sglang", SGLANG)],
)
def test_what_an_engine_reports_beyond_our_requests_is_foreign(engine: str, page: bytes) -> None:
    pod, readings = a_pod(in_flight=3), parse(page, engine)

    pod.apply_readings(readings, 10.0, 13.0)
    assert (pod.foreign.requests, pod.foreign.running, pod.foreign.waiting) == (3.0, 1.0, 2.0)
    pod.start(work(), 11.0)  # the engine did not report it yet
    assert pod.foreign.requests == 3.0

    pod.in_flight = 6
    pod.apply_readings(readings, 12.0, 15.0)
    assert pod.foreign.requests == 0.0


@pytest.mark.parametrize("signal", [Signal.RUNNING, Signal.WAITING])
def test_of_two_gauges_one_is_enough_for_a_lower_bound(signal: Signal) -> None:
    pod = a_pod()
    pod.apply_readings(Readings({signal: 5.0}), 10.0, 13.0)
    assert pod.foreign.requests == 5.0

    pod.apply_readings(Readings({Signal.KV_USAGE: 0.9}), 12.0, 15.0)
    assert pod.foreign.requests == 0.0


@pytest.mark.parametrize(
    ("usage", "tokens"), [({Signal.KV_USAGE: 0.5}, 5000.0), ({Signal.KV_USAGE: 0.0}, 0.0), ({}, 8 * 100.0)]
)
def test_a_cache_whose_use_is_unknown_is_not_taken_for_empty(usage: dict[Signal, float], tokens: float) -> None:
    pod = a_pod()
    for now_s, prompts in ((10.0, 0), (12.0, 5)):
        totals = EngineTotals(ttft_sum_s=prompts, ttft_count=prompts, prompt_tokens=prompts * 100, cached_tokens=0)
        readings = Readings({Signal.RUNNING: 8.0, **usage}, cache_tokens=10_000, totals=totals)
        pod.apply_readings(readings, now_s, now_s + 3.0)

    assert tokens == pytest.approx(pod.foreign.tokens)


def test_the_answers_to_one_request_are_not_foreign() -> None:
    pod, several = a_pod(), work(sequences=8)
    pod.start(several, 9.0)
    pod.apply_readings(Readings({Signal.RUNNING: 8.0}), 10.0, 13.0)
    assert pod.foreign.requests == 0.0

    pod.end(several, 10.5)
    pod.apply_readings(Readings({Signal.RUNNING: 8.0}), 11.0, 14.0)
    assert pod.foreign.requests == 0.0  # the engine may not have noticed
    pod.apply_readings(Readings({Signal.RUNNING: 8.0}), 20.0, 23.0)
    assert pod.foreign.requests == 8.0


def test_requests_that_waited_for_others_teach_no_speed() -> None:
    pod, before, during = a_pod(), work(), work()
    pod.start(before, 9.0)
    pod.apply_readings(Readings({Signal.RUNNING: 9.0, Signal.WAITING: 60.0}), 10.0, 13.0)
    pod.start(during, 10.0)
    pod.learn(before, 1.5, 10, 20, 10.5)
    pod.apply_readings(Readings({Signal.RUNNING: 2.0, Signal.WAITING: 0.0}), 12.0, 15.0)
    pod.learn(during, 4.0, 10, 20, 14.0)
    assert pod.speed.requests == 0

    pod.learn(before, 1.5, 10, 20, 14.0)
    assert pod.speed.requests == 1


def test_a_restarted_engine_has_no_foreign_load() -> None:
    pod = a_pod()
    pod.apply_readings(Readings({Signal.WAITING: 5.0}, started_s=1.0), 10.0, 13.0)
    pod.apply_readings(Readings({Signal.WAITING: 0.0}, started_s=2.0), 12.0, 15.0)

    assert pod.foreign.requests == 0.0


def test_a_pod_may_fail_for_days() -> None:
    pod, now_s = a_pod(), 0.0
    for _ in range(2000):
        now_s += MAX_EJECTION_S
        assert pod.record_outcome(True, now_s, now_s)

    assert (2000, MAX_EJECTION_S) == (pod.failures, pod.ejected_s(now_s))


def test_only_an_outcome_that_counts_is_passed_on() -> None:
    pod = a_pod()
    counts = [pod.record_outcome(failed, sent_s, 10.0) for failed, sent_s in ((True, 9.0), (True, 9.0), (False, 9.0))]

    assert ([True, False, True], 0.0) == (counts, pod.ejected_s(10.0))
