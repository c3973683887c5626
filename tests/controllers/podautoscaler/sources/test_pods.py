"""Ready pods are read from their own pages, each page once; a pod that says nothing is absent and named, never idle."""

from collections.abc import AsyncIterator

import pytest

from autoscaling.observation import PodReading
from controllers.podautoscaler.sources.engines import SETTLE_S
from tests.support.metrics_pages import MetricsPages, metrics_pages
from tests.support.observing import Clock, a_pod, a_spec, observing, of_pods


@pytest.fixture
async def servers() -> AsyncIterator[list[MetricsPages]]:
    async with metrics_pages() as one, metrics_pages() as other:
        yield [one, other]


async def test_ready_pods_are_scraped_and_the_rest_is_counted(servers: list[MetricsPages]):
    one, other = servers
    one.show("vllm:kv_cache_usage_perc 0.8\nvllm:num_requests_running 7\nvllm:num_requests_waiting 2\n")
    other.show("sglang:token_usage 0.4\nsglang:num_running_reqs 3\n")
    pods = [a_pod("a", one), a_pod("b", other), a_pod("c", is_ready=False)]
    async with observing(Clock()) as sources:
        seen, failures = await sources.observe(a_spec(of_pods("gpu_cache_usage_perc")), "m", pods, 1, 2)

    assert () == failures
    assert (1000.0, 2, 1, 2) == (seen.now_s, seen.ready, seen.starting, seen.draining)
    assert seen.pods == (
        PodReading("a", 7, 2, 0.8, metrics={"gpu_cache_usage_perc": 0.8}),
        PodReading("b", 3, None, 0.4, metrics={"gpu_cache_usage_perc": 0.4}),
    )


async def test_a_page_with_several_metrics_is_asked_for_once(servers: list[MetricsPages]):
    servers[0].show("vllm:num_requests_running 7\nvllm:num_requests_waiting 2\n")
    sources = of_pods("num_requests_running"), of_pods("num_requests_waiting", "metrics")
    async with observing(Clock()) as observer:
        seen, _ = await observer.observe(a_spec(*sources), "m", [a_pod("a", servers[0])], 0, 0)

    assert {"num_requests_running": 7, "num_requests_waiting": 2} == seen.pods[0].metrics
    assert ["/metrics"] == servers[0].asked


async def test_pods_that_do_not_answer_are_absent_and_named(servers: list[MetricsPages]):
    servers[0].show("m 1\n")
    servers[1].show("other 1\n")
    gone = [a_pod(name) for name in "cdef"]
    async with observing(Clock()) as sources:
        spec = a_spec(of_pods("m"))
        seen, [said] = await sources.observe(spec, "m", [a_pod("a", servers[0]), a_pod("b", servers[1]), *gone], 0, 0)

    assert 6 == seen.ready
    assert ["a", "b"] == [pod.name for pod in seen.pods]
    assert {} == seen.pods[1].metrics
    assert said.startswith("5 of 6 ready pods were not read: b: http://127.0.0.1:")
    assert "/metrics has no metric m; c: http://" in said
    assert said.endswith("; and 2 more")


async def test_a_restarted_engine_is_absent_and_not_idle(servers: list[MetricsPages]):
    clock, spec, pods = Clock(), a_spec(of_pods("num_requests_running")), [a_pod("a", servers[0])]
    async with observing(clock) as sources:
        servers[0].show("vllm:num_requests_running 7\nprocess_start_time_seconds 100\n")
        before, _ = await sources.observe(spec, "m", pods, 0, 0)
        servers[0].show("vllm:num_requests_running 0\nprocess_start_time_seconds 998\n")
        clock.now_s += 2
        after, [said] = await sources.observe(spec, "m", pods, 0, 0)
        clock.now_s += SETTLE_S
        later, _ = await sources.observe(spec, "m", pods, 0, 0)

    assert {"num_requests_running": 7} == before.pods[0].metrics
    assert (1, ()) == (after.ready, after.pods)
    assert "a: its engine began anew" in said
    assert {"num_requests_running": 0} == later.pods[0].metrics
