"""Arrivals come from the traces that gateways write to Redis: each window once, and only a target's own part."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from autoscaling.arrivals import Seen
from autoscaling.observation import Arrivals
from autoscaling.spec import Target
from controllers.podautoscaler.sources.arrivals import STALE_S, arrivals
from controllers.podautoscaler.sources.pages import SourceError
from tests.support.optimizer import write_traffic
from tests.support.ports import free_address
from tests.support.redis import RedisServer, redis_server
from traffic.connection import Connection
from traffic.store import TraceStore
from traffic.window import Window

TARGET = Target("apps/v1", "Deployment", "m-l20", "default")
WINDOW = Window(10.0, 6, {(70, 60): 3}, {70: 6}, queued=2)
"""Six requests of 128 tokens, half of which have got their 64."""


@pytest.fixture
def server():
    with redis_server() as running:
        yield running


@pytest.fixture
async def traces(server: RedisServer) -> AsyncIterator[TraceStore]:
    async with aclosing(Connection(server.url, 20.0)) as connection:
        yield TraceStore(connection)


async def test_at_first_the_last_window_counts_and_then_each_new_one(server: RedisServer, traces: TraceStore):
    await write_traffic(server.url, "m", [WINDOW, replace(WINDOW, queued=5)])

    first = await arrivals(traces, "m", TARGET, None, await traces.now_s())

    assert first.last_s is not None
    assert Arrivals(6, 10, pytest.approx(6 * 128), pytest.approx(3 * 64)) == first.arrivals
    assert 5 == first.queued
    both = await arrivals(traces, "m", TARGET, first.last_s - 20, await traces.now_s())
    assert both.arrivals is not None
    assert (12, 20) == (both.arrivals.requests, both.arrivals.duration_s)
    assert Seen(None, None, first.last_s) == await arrivals(traces, "m", TARGET, first.last_s, first.last_s + STALE_S)


async def test_of_a_model_of_several_deployments_each_has_what_was_sent_to_it(server: RedisServer, traces: TraceStore):
    await write_traffic(server.url, "m", [replace(WINDOW, sent={"m-l20": 1, "m-v100": 3})])
    now_s = await traces.now_s()

    for target, requests in (
        (TARGET, 1.5),
        (replace(TARGET, name="m-v100"), 4.5),
        (replace(TARGET, name="m-h100"), 0),
        (replace(TARGET, kind="RayClusterFleet", name="fleet"), 6),
    ):
        seen = await arrivals(traces, "m", target, None, now_s)
        assert seen.arrivals is not None
        assert requests == seen.arrivals.requests
        assert requests / 3 == seen.queued


async def test_inputs_that_a_window_does_not_tell_are_unknown(server: RedisServer, traces: TraceStore):
    await write_traffic(server.url, "m", [WINDOW])
    [key] = server.own_client.keys("aibrix:m_request_trace_*")
    server.own_client.set(
        key, '{"70:60": 2, "meta_v": 4, "meta_interval_sec": 10, "meta_precision": 10, "meta_total_reqs": 4}'
    )

    seen = await arrivals(traces, "m", TARGET, None, await traces.now_s())

    assert Arrivals(4, 10, None, pytest.approx(2 * 64)) == seen.arrivals


async def test_no_traffic_is_a_sentence_and_not_zero(traces: TraceStore):
    now_s = await traces.now_s()

    with pytest.raises(SourceError, match="Redis has no traffic of m: no gateway"):
        await arrivals(traces, "m", TARGET, None, now_s)
    with pytest.raises(SourceError, match="no traffic of m since 61 s"):
        await arrivals(traces, "m", TARGET, now_s - STALE_S - 1, now_s)


async def test_redis_that_is_away_is_a_sentence():
    async with aclosing(Connection(f"redis://{free_address()}/0", 5.0)) as connection:
        with pytest.raises(SourceError, match="Redis, traffic of m: "):
            await arrivals(TraceStore(connection), "m", TARGET, None, 0.0)
