"""Observations of engines on this machine: a real engine, a real Redis, and both away."""

import asyncio
import time
from pathlib import Path

from autoscaling.observation import Observation
from autoscaling.spec_reading import read
from forebay.local.autoscaling.observing import Observing
from forebay.local.engines import MODEL, engine_spec
from forebay.local.fleet import Engine
from tests.forebay.local.test_fleet import KIND
from tests.support.engines import STOPPED, a_chat, an_engine, until_figure
from tests.support.ports import free_address
from tests.support.redis import redis_server
from traffic.connection import Connection
from traffic.store import TraceStore
from traffic.wakes import Wakes
from traffic.window import WINDOW_S, Window

SOURCE = {"metricSourceType": "pod", "protocolType": "http", "port": "8000", "path": "/metrics", "targetValue": "1"}
SPEC = read(
    {
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "engines"},
            "scalingStrategy": "KPA",
            "maxReplicas": 2,
            "metricsSources": [{**SOURCE, "targetMetric": "num_requests_running"}],
        }
    }
)


def at(address: str, tmp_name: str, *, is_serving: bool = True) -> Engine:
    return Engine(KIND, engine_spec(tmp_name, address, "", Path("logs")), is_serving)


async def seen(redis_url: str, *engines: Engine, looks: int = 1) -> Observation:
    connection = Connection(redis_url, 5.0)
    observing = Observing(SPEC, TraceStore(connection), Wakes(connection))
    for _ in range(looks):
        observation = await observing.observe(time.time(), engines, 1)
    await connection.aclose()
    return observation


async def test_engines_traffic_and_wakes_are_seen() -> None:
    with redis_server() as redis:
        connection = Connection(redis.url, 5.0)
        store = TraceStore(connection, "w")
        ended_s = await store.now_s() // WINDOW_S * WINDOW_S - WINDOW_S
        await store.write(MODEL, Window(10.0, 3, queued=2, starts_at_s=ended_s - WINDOW_S), 1)
        await Wakes(connection).publish(MODEL)
        async with an_engine(speed=STOPPED) as (running, client):
            asked = asyncio.ensure_future(client.post("/v1/chat/completions", json=a_chat()))
            await until_figure(client, 1.0, "vllm:num_requests_running")
            address = running.url.removeprefix("http://")

            observation = await seen(redis.url, at(address, "a"), at(free_address(), "b", is_serving=False))

            asked.cancel()
        assert (1, 1, 1, True) == (
            observation.ready, observation.starting, observation.draining, observation.wakes,
        )  # fmt: skip
        (pod,) = observation.pods
        assert ("a", 1.0, {"num_requests_running": 1.0}) == (pod.name, pod.running, pod.metrics)
        assert observation.arrivals is not None
        assert (3, 2.0) == (observation.arrivals.requests, observation.queued)
        await connection.aclose()


async def test_what_is_away_is_absent_and_never_zero() -> None:
    observation = await seen("redis://127.0.0.1:9/0", at(free_address(), "a"))

    assert (1, (), None, None, False) == (
        observation.ready, observation.pods, observation.arrivals, observation.queued, observation.wakes,
    )  # fmt: skip


async def test_a_window_is_counted_once() -> None:
    with redis_server() as redis:
        connection = Connection(redis.url, 5.0)
        store = TraceStore(connection, "w")
        ended_s = await store.now_s() // WINDOW_S * WINDOW_S - WINDOW_S
        await store.write(MODEL, Window(10.0, 3, starts_at_s=ended_s - WINDOW_S), 1)

        assert (await seen(redis.url)).arrivals is not None
        again = (await seen(redis.url, looks=2)).arrivals

        assert again is None or again.requests == 0  # the next window may have ended meanwhile
        await connection.aclose()
