import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from forebay.doctor.finding import Finding, State
from forebay.doctor.servers import servers
from gateway.config.kubernetes import KubernetesSettings
from gateway.config.settings import EnvoySettings, ListenSettings, RedisSettings, Settings
from tests.support.metrics_pages import metrics_pages
from tests.support.ports import free_port
from tests.support.redis import RedisServer, redis_server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def look(subject: str, **changes: Any) -> Finding:
    nowhere = f"127.0.0.1:{free_port()}"
    usual: dict[str, Any] = {
        "redis": RedisSettings(url=f"redis://:secret@{nowhere}"),
        "listen": ListenSettings(http=nowhere),
        "envoy": EnvoySettings(admin=nowhere),
    }
    (finding,) = [each for each in await servers(Settings(**usual | changes)) if each.subject == subject]
    return finding


async def test_a_redis_that_keeps_what_it_is_told_is_well(redis: RedisServer):
    finding = await look("redis", redis=RedisSettings(url=redis.url))

    assert State.OK is finding.state
    assert "version" in finding.text


@pytest.mark.parametrize(
    ("options", "state", "next_step"),
    [
        ({"appendonly": "no"}, State.NOTE, "appendonly yes"),
        ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, State.PROBLEM, "maxmemory-policy noeviction"),
    ],
)
async def test_a_redis_that_forgets_is_told_of(
    redis: RedisServer, options: dict[str, str], state: State, next_step: str
):
    before = {name: redis.own_client.config_get(name)[name] for name in options}
    try:
        for name, value in options.items():
            redis.own_client.config_set(name, value)
        finding = await look("redis", redis=RedisSettings(url=redis.url))
    finally:
        for name, value in before.items():
            redis.own_client.config_set(name, value)

    assert (state, next_step) == (finding.state, finding.next_step)


async def test_servers_that_do_not_run_are_named_without_passwords():
    redis, gateway, envoy = [await look(name) for name in ("redis", "gateway", "envoy")]

    assert [State.PROBLEM, State.NOTE, State.NOTE] == [redis.state, gateway.state, envoy.state]
    assert "secret" not in redis.text
    assert "each worker limits by its share" in redis.next_step
    assert "connection refused" in gateway.text


@pytest.mark.parametrize(
    ("status", "page", "state", "text"),
    [
        (200, {"status": "ready"}, State.OK, "takes requests"),
        (200, {"status": "ready", "notes": ["redis is away"]}, State.NOTE, "takes requests, but redis is away"),
        (503, {"status": "not ready", "reasons": ["no pods"]}, State.PROBLEM, "takes no requests: no pods"),
        (200, "<html>", State.PROBLEM, "is served"),
    ],
)
async def test_the_gateway_says_how_it_is(status: int, page: object, state: State, text: str):
    async with metrics_pages() as pages:
        pages.show(page if isinstance(page, str) else orjson.dumps(page), "/readyz", status=status)
        finding = await look("gateway", listen=ListenSettings(http=f"127.0.0.1:{pages.port}"))

    assert state is finding.state
    assert text in finding.text


async def test_an_envoy_that_is_not_ready_yet_is_a_problem():
    async with metrics_pages() as pages:
        pages.show("PRE_INITIALIZING", "/ready", status=503)

        assert State.PROBLEM is (await look("envoy", envoy=EnvoySettings(admin=f"127.0.0.1:{pages.port}"))).state


async def test_the_packages_that_a_cluster_needs_are_named_where_they_are_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "kube.client", None)

    finding = await look("kubernetes", kubernetes=KubernetesSettings(enabled=True))

    assert (State.PROBLEM, "pip install 'forebay[kubernetes]'") == (finding.state, finding.next_step)


async def test_a_cluster_that_cannot_be_reached_is_a_problem():
    finding = await look("kubernetes", kubernetes=KubernetesSettings(enabled=True, kubeconfig="/nowhere"))

    assert State.PROBLEM is finding.state
    assert "/nowhere" in finding.text
