"""Strategies that read one count of the gateway's own."""

import pytest

from routing.pods.load import Work
from tests.support.choosing import decided, picked
from tests.support.pods import pods_with


def test_least_request_takes_the_fewest_in_flight_and_ties_at_random() -> None:
    assert picked("least-request", pods_with(3, 1, 2)) == {"p1"}
    assert picked("least-request", pods_with(2, 1, 1, 5, 1)) == {"p1", "p2", "p4"}


def test_least_request_says_how_few_and_falls_back_to_the_next_fewest() -> None:
    decision = decided("least-request", pods_with(9, 4, 1, 7, 2))

    assert decision.reason == "1 in flight, 1 of 5 tied"
    assert [endpoint.id for endpoint in decision.fallbacks] == ["p4", "p1"]


def test_least_load_weighs_requests_by_their_tokens() -> None:
    pods = pods_with(0, 0, 0)
    for pod, sizes in zip(pods, ([5000], [100, 100, 100], [400, 400]), strict=True):
        for size in sizes:
            pod.start(Work(size, size, 10, None), 0.0)

    assert picked("least-load", pods) == {"p1"}


def test_throughput_takes_the_pod_that_has_processed_least() -> None:
    pods = pods_with(5, 0, 0)
    for pod, cost in zip(pods, (10, 500, 20), strict=True):
        pod.answered(None, cost, now_s=0.0)

    assert picked("throughput", pods) == {"p0"}


def test_least_busy_time_takes_the_pod_that_was_idle_longest() -> None:
    pods = pods_with(0, 0, 0)
    for pod, until_s in zip(pods, (5.0, 2.0, 4.0), strict=True):
        work = Work(10, 10, 1, None)
        pod.start(work, 0.0)
        pod.end(work, until_s)

    assert picked("least-busy-time", pods, now_s=10.0) == {"p1"}


def test_least_latency_compares_by_size() -> None:
    pods = pods_with(0, 0, 9)
    for pod, (seconds, tokens) in zip(pods, ((1.0, 10), (20.0, 2000), (8.0, 400)), strict=True):
        pod.learn(None, seconds, 5, tokens, now_s=0.0)

    assert picked("least-latency", pods) == {"p1"}


def test_a_pod_of_unknown_latency_counts_as_an_average_one() -> None:
    pods = pods_with(0, 0, 0)
    pods[0].learn(None, 1.0, 5, 100, now_s=0.0)
    pods[1].learn(None, 9.0, 5, 100, now_s=0.0)

    assert [endpoint.id for endpoint in decided("least-latency", pods).fallbacks] == ["p2", "p1"]


@pytest.mark.parametrize("name", ["least-latency"])
def test_before_anything_has_finished_the_fewest_in_flight_win(name: str) -> None:
    assert picked(name, pods_with(2, 0, 1)) == {"p1"}
    assert decided(name, pods_with(2, 0, 1)).reason == "0 in flight, 1 of 3 tied, fallback=nothing-finished"
