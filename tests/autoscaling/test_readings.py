"""Values of metrics in observations, and pods that were not read."""

from math import inf, nan

import pytest

from autoscaling.observation import Observation, PodReading
from autoscaling.readings import external_value, pod_value, replicas_for, total
from autoscaling.spec import Source, SourceKind
from tests.support.observations import seen

RUNNING = Source(SourceKind.POD, "running", 10.0)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("running", 3),
        ("vllm:num_requests_running", 3),
        ("sglang:num_queue_reqs", 2),
        ("in_flight", 5),
        ("gpu_cache_usage_perc", 0.5),
        ("vllm:kv_cache_usage_perc", 0.5),
        ("waiting_tokens", 40),
        ("own", 7),
        ("unknown", None),
        ("prefill_tokens", None),
    ],
)
def test_metrics_are_found_by_name_or_meaning(metric: str, value: float | None):
    pod = PodReading("a", running=3, waiting=2, kv_usage=0.5, waiting_tokens=40, metrics={"own": 7})

    assert value == pod_value(pod, metric)


def test_what_was_read_by_that_name_counts_first():
    assert 9 == pod_value(PodReading("a", running=3, metrics={"running": 9}), "running")


@pytest.mark.parametrize("strange", [nan, inf, -1.0, 1e16])
def test_values_that_cannot_be_are_missing(strange: float):
    assert pod_value(PodReading("a", metrics={"m": strange}), "m") is None
    assert external_value(Observation(0, 1, external={"m": strange}), "m") is None


@pytest.mark.parametrize(("load", "target", "replicas"), [(41, 10, 5), (0, 10, 0), (1e15, 1e-300, 2**31 - 1)])
def test_replicas_are_rounded_up_and_bounded(load: float, target: float, replicas: int):
    assert replicas == replicas_for(load, target)


def test_the_total_is_of_all_pods():
    assert 12 == total(seen(0, 3, 3, 4, 5), RUNNING)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((2, None), 2 + 10),  # below the target: as the target
        ((15, None), 20),  # above: as nothing, but not below the target of both
        ((25, None), 25),
        ((10, None), 20),
        ((None, None), None),
        ((), None),
    ],
)
def test_pods_that_were_not_read_are_neither_idle_nor_busy(values: tuple[float | None, ...], expected: float | None):
    assert expected == total(seen(0, 2, *values), RUNNING)


def test_an_external_metric_is_that_of_the_whole_target():
    source = Source(SourceKind.EXTERNAL, "queue", 5.0)

    assert 30 == total(Observation(0, 2, external={"queue": 30}), source)
    assert total(Observation(0, 2), source) is None
    assert 4 == total(seen(0, 2, 3, 4, metric="queue"), source)
