"""Strategies that read an engine's own metrics."""

import pytest

from gateway.discovery.probing.readings import Readings
from routing.pods.load import Work
from routing.types import Signal
from tests.support.choosing import decided, picked
from tests.support.pods import pods_with


@pytest.mark.parametrize("name", ["least-kv-cache", "least-gpu-cache"])
def test_the_lowest_use_of_the_cache_wins_whatever_is_in_flight(name: str) -> None:
    pods = pods_with(0, 9, 0)
    for pod, usage in zip(pods, (0.5, 0.0, 0.2), strict=True):
        pod.apply_readings(Readings({Signal.KV_USAGE: usage}), 0.0, fresh_until_s=1.0)

    assert picked(name, pods) == {"p1"}
    assert decided(name, pods).fallback == ""


def test_resident_tokens_replace_the_metric_for_all_when_one_pod_does_not_report_it() -> None:
    pods = pods_with(0, 0, 0)
    pods[0].apply_readings(Readings({Signal.KV_USAGE: 0.0}), 0.0, fresh_until_s=1.0)
    for pod, tokens in zip(pods, (500, 100, 300), strict=True):
        pod.start(Work(tokens, tokens, 0, None), 0.0)

    assert picked("least-kv-cache", pods) == {"p1"}
    assert decided("least-kv-cache", pods).reason == "100 resident tokens, 1 of 3 tied, fallback=kv_usage-missing"


def test_least_utilization_adds_what_runs_and_what_waits() -> None:
    pods = pods_with(0, 9, 0)
    for pod, (running, waiting) in zip(pods, ((8, 0), (1, 2), (0, 5)), strict=True):
        pod.apply_readings(Readings({Signal.RUNNING: running, Signal.WAITING: waiting}), 0.0, fresh_until_s=1.0)

    assert picked("least-utilization", pods) == {"p1"}


def test_requests_in_flight_replace_those_running_and_waiting() -> None:
    pods = pods_with(3, 1, 2)
    for pod in pods:
        pod.apply_readings(Readings({Signal.RUNNING: 0}), 0.0, fresh_until_s=1.0)

    assert picked("least-utilization", pods) == {"p1"}
    assert decided("least-utilization", pods).reason == "1 in flight, 1 of 3 tied, fallback=waiting-missing"
