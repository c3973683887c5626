"""An observation has what the sources say, and sentences on those that say nothing; what is missing is never zero."""

from collections.abc import AsyncIterator

import pytest

from autoscaling.spec import REPLICAS_METRIC, StrategyName
from tests.support.metrics_pages import MetricsPages, metrics_pages
from tests.support.observing import TARGET, Clock, a_pod, a_spec, external, observing
from tests.support.optimizer import write_traffic
from tests.support.redis import redis_server
from traffic.window import Window


@pytest.fixture
async def servers() -> AsyncIterator[list[MetricsPages]]:
    async with metrics_pages() as one, metrics_pages() as other:
        yield [one, other]


@pytest.mark.parametrize(
    ("page", "value"),
    [
        (f'{REPLICAS_METRIC}{{model_name="m"}} 4\n', 4),
        (f'{REPLICAS_METRIC}{{model_name="m"}} 0\n', 0),
        (f'{REPLICAS_METRIC}{{model_name="m"}} 400\ngpuopt_replicas{{namespace="default",deployment="d"}} 4\n', 4),
    ],
)
async def test_an_optimizers_replicas_are_replicas_whoever_publishes_them(
    servers: list[MetricsPages], page: str, value: float
):
    servers[0].show(page, "/metrics/default/d")
    async with observing(Clock()) as sources:
        spec = a_spec(external(servers[0], REPLICAS_METRIC, "/metrics/default/d"))
        seen, failures = await sources.observe(spec, "m", [], 0, 0)

    assert ({REPLICAS_METRIC: value}, ()) == (seen.external, failures)


@pytest.mark.parametrize(
    ("page", "status", "said"),
    [
        ("gone", 404, "answered 404 Not Found"),
        ("<html></html>", 200, "the page is HTML"),
        ("m NaN\n", 200, "has no metric m"),
        ("other 1\n", 200, "has no metric m"),
    ],
)
async def test_a_url_without_a_value_is_absent_and_said(servers: list[MetricsPages], page: str, status: int, said: str):
    servers[0].show(page, status=status)
    async with observing(Clock()) as sources:
        seen, [failure] = await sources.observe(a_spec(external(servers[0], "m")), "m", [], 0, 0)

    assert {} == seen.external
    assert failure.startswith(f"http://127.0.0.1:{servers[0].port}/metrics")
    assert said in failure


async def test_strategy_slo_sees_traffic_latencies_and_load_without_naming_a_source(servers: list[MetricsPages]):
    ttft = "vllm:time_to_first_token_seconds"
    lines = f"vllm:num_requests_running 7\n{ttft}_sum {{}}\n{ttft}_count {{}}\n"
    spec, pods = a_spec(strategy=StrategyName.SLO), [a_pod("a", servers[0])]
    with redis_server() as redis:
        await write_traffic(redis.url, "m", [Window(10.0, 6, {(70, 60): 3}, {70: 6}, queued=2)])
        clock = Clock()
        async with observing(clock, redis_url=redis.url) as sources:
            servers[0].show(lines.format(1.0, 10))
            first, _ = await sources.observe(spec, "m", pods, 0, 0)
            servers[0].show(lines.format(3.0, 14))
            second, failures = await sources.observe(spec, "m", pods, 0, 0)
            sources.forget(TARGET)
            again, _ = await sources.observe(spec, "m", pods, 0, 0)

    assert () == failures
    assert first.arrivals is not None
    assert (6, 10, 2) == (first.arrivals.requests, first.arrivals.duration_s, first.queued)
    assert (None, None) == (first.latency, second.arrivals)
    assert second.latency is not None
    assert (0.5, 4) == (second.latency.ttft_mean_s, second.latency.ttft_count)
    assert 7 == second.pods[0].running
    assert (first.arrivals, None) == (again.arrivals, again.latency)


@pytest.mark.parametrize(
    ("model", "said"), [("", "Deployment d does not say which model it serves"), ("m", "Redis, traffic of m: ")]
)
async def test_traffic_that_cannot_be_read_is_said(model: str, said: str):
    async with observing(Clock()) as sources:
        seen, [failure] = await sources.observe(a_spec(strategy=StrategyName.SLO), model, [], 0, 0)

    assert seen.arrivals is None
    assert failure.startswith(said)
