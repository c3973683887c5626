"""External metrics are those of all gateways together; one that cannot be known whole is missing and never zero."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from controllers.metricsapi.answers import MissingError, Value
from controllers.metricsapi.external import METRICS, ExternalMetrics, Places, rate
from controllers.podautoscaler.sources.pages import Pages
from routing.selectors import parse_selector
from tests.support.kubernetes.conversation import Exchange, Request, answer
from tests.support.kubernetes.script import talking
from tests.support.metrics_pages import metrics_pages
from tests.support.optimizer import write_traffic
from tests.support.redis import redis_server
from traffic.connection import Connection
from traffic.store import TraceStore
from traffic.window import Window

ALL = parse_selector("")
PODS = Request("GET", "/api/v1/namespaces/home/pods?labelSelector=app%3Dg&limit=500")
PLACES = Places("home", "app=g", 1, "http://127.0.0.1:1")
PAGE = """forebay_requests_waiting{model="org/m"} 2
forebay_requests_waiting{model="n"} 1
forebay_requests_in_flight{model="n"} 5
forebay_predicted_ttft_ratio{model="n"} 0.5
forebay_predicted_ttft_ratio{model="org/m"} NaN
"""
NO_REDIS = "redis://127.0.0.1:1/0"


@asynccontextmanager
async def external(
    exchanges: Iterable[Exchange] = (), places: Places = PLACES, redis_url: str = NO_REDIS
) -> AsyncIterator[ExternalMetrics]:
    async with AsyncExitStack() as stack:
        client, _ = await stack.enter_async_context(talking(exchanges))
        pages = await stack.enter_async_context(Pages())
        connection = await stack.enter_async_context(aclosing(Connection(redis_url, 20.0)))
        yield ExternalMetrics(client, pages, TraceStore(connection), places)


def gateways(*pods: tuple[str, bool]) -> Exchange:
    """Pods of gateways at these addresses, ready or not."""
    items = [
        {"status": {"podIP": ip, "conditions": [{"type": "Ready", "status": str(is_ready)}]}} for ip, is_ready in pods
    ]
    return PODS, answer(json.dumps({"metadata": {}, "items": items}))


async def test_gateways_are_added_up_but_of_a_ratio_the_worst_counts():
    async with metrics_pages() as page:
        page.show(PAGE)
        pods = gateways(("127.0.0.1", True), ("127.0.0.1", True), ("127.0.0.1", False))
        async with external([pods], PLACES._replace(port=page.port)) as metrics:
            waiting = await metrics.read("forebay_requests_waiting", "any", ALL)
            in_flight = await metrics.read("forebay_requests_in_flight", "any", ALL)
            ratio = await metrics.read("forebay_predicted_ttft_ratio", "any", ALL)
            selected = await metrics.read("forebay_requests_waiting", "any", parse_selector("model=org_m"))

    assert [Value({"model": "org_m"}, 4), Value({"model": "n"}, 2)] == waiting
    assert [Value({"model": "n"}, 10)] == in_flight
    assert [Value({"model": "n"}, 0.5)] == ratio
    assert [Value({"model": "org_m"}, 4)] == selected


@pytest.mark.parametrize(
    ("metric", "exchanges", "said"),
    [
        ("forebay_requests_waiting", [gateways(("127.0.0.1", True))], "no answer|failed|refused"),
        ("forebay_requests_waiting", [gateways(("127.0.0.1", False))], "no pod with labels app=g is ready in home"),
        ("forebay_requests_waiting", [(PODS, answer("no", status=403))], "no"),
        ("forebay_optimizer_replicas", [], "http://127.0.0.1:1/metrics: "),
        ("forebay_arrival_rate", [], "refused|connect"),
        ("forebay_nothing", [], "there is no metric forebay_nothing; there are forebay_arrival_rate, "),
    ],
)
async def test_a_value_that_cannot_be_known_is_missing(metric: str, exchanges: list[Exchange], said: str):
    async with external(exchanges) as metrics:
        with pytest.raises(MissingError, match=said):
            await metrics.read(metric, "default", ALL)


async def test_one_gateway_that_is_silent_makes_the_whole_missing():
    async with metrics_pages() as page:
        page.show(PAGE)
        pods = gateways(("127.0.0.1", True), ("127.0.0.2", True))
        async with external([pods], PLACES._replace(port=page.port)) as metrics:
            with pytest.raises(MissingError, match=r"127\.0\.0\.2"):
                await metrics.read("forebay_requests_waiting", "default", ALL)


async def test_a_selector_without_a_match_is_missing():
    async with metrics_pages() as page:
        page.show(PAGE)
        async with external([gateways(("127.0.0.1", True))], PLACES._replace(port=page.port)) as metrics:
            with pytest.raises(MissingError, match="no value with these labels"):
                await metrics.read("forebay_requests_waiting", "default", parse_selector("model=x"))


async def test_the_optimizers_replicas_are_those_of_the_namespace():
    async with metrics_pages() as page:
        page.show(
            'forebay_optimizer_replicas{model="m",namespace="a",deployment="d"} 3\n'
            'forebay_optimizer_replicas{model="m",namespace="b",deployment="d"} 7\n'
        )
        async with external(places=PLACES._replace(optimizer=f"http://127.0.0.1:{page.port}")) as metrics:
            found = await metrics.read("forebay_optimizer_replicas", "a", parse_selector("deployment=d"))
            await metrics.read("forebay_optimizer_replicas", "b", ALL)

    assert [Value({"model": "m", "deployment": "d"}, 3)] == found
    assert ["/metrics"] == page.asked


async def test_the_rate_is_of_the_traffic_in_redis():
    with redis_server() as redis:
        await write_traffic(redis.url, "m", [Window(10.0, 30)] * 3)
        async with external(redis_url=redis.url) as metrics:
            assert [Value({"model": "m"}, 3)] == await metrics.read("forebay_arrival_rate", "default", ALL)


def test_the_rate_is_the_mean_of_the_last_minute():
    windows = [Window(10.0, arrivals, starts_at_s=10.0 * n) for n, arrivals in enumerate((900, 900, 6, 6, 6, 6, 6, 12))]

    assert 42 / 60 == rate(windows, 82.0)
    assert 42 / 60 == rate(windows, 110.0)
    assert rate(windows, 110.1) is None
    assert rate([], 0.0) is None
    assert 0 == rate([replace(windows[-1], arrivals=0)], 82.0)


def test_every_metric_has_a_name_of_ours():
    assert all(name.startswith("forebay_") for name in METRICS)
