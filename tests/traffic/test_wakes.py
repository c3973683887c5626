import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from tests.support.redis import RedisServer
from tests.support.redis_cluster import redis_cluster
from traffic import connection as connections
from traffic.connection import Connection, RedisAwayError
from traffic.wakes import PROMISE_S, WAKE_S, Wakes, promise_key, wake_key

TIMEOUT_S = 20.0
NAMES = {"m", "org/m", "m*", "{a}", "m-ü"}


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    opened = Connection(server.url, TIMEOUT_S)
    yield opened
    await opened.aclose()


async def heard(listener: Wakes, teller: Wakes, models: set[str]) -> set[str]:
    """Return the models that the listener hears while they are told again and again."""
    found: set[str] = set()
    telling = asyncio.create_task(told_again(teller, models))
    async with asyncio.timeout(TIMEOUT_S), aclosing(listener.listen()) as wakes:
        async for model in wakes:
            found.add(model)
            if len(found) == len(models):
                break
    telling.cancel()
    return found


async def told_again(teller: Wakes, models: set[str]) -> None:
    while True:
        for model in models:
            await teller.publish(model)
        await asyncio.sleep(0.05)


async def test_a_wake_is_heard_and_kept_for_those_who_come_later(connection, server):
    wakes = Wakes(connection)

    assert NAMES == await heard(wakes, wakes, NAMES)
    assert NAMES == await wakes.waiting(NAMES | {"other", "m-"})
    assert 0 < server.own_client.pttl(wake_key("m")) <= WAKE_S * 1000


async def test_nobody_is_awaited_where_nothing_was_told(connection):
    assert frozenset() == await Wakes(connection).waiting({"m"})
    assert frozenset() == await Wakes(connection).waiting(())


async def test_a_wake_that_is_heard_is_kept_already(connection):
    teller, listener = Wakes(connection), Wakes(connection)
    async with asyncio.timeout(TIMEOUT_S), aclosing(listener.listen()) as wakes:
        hearing = asyncio.create_task(anext(wakes))
        while not hearing.done():
            await teller.publish("m")
            await asyncio.wait({hearing}, timeout=0.05)

        assert {"m"} == await listener.waiting({hearing.result()})


async def test_a_promise_is_kept_a_while_and_is_no_wake(connection, server):
    wakes = Wakes(connection)

    await wakes.promise({"m", "org/m"})

    assert {"m", "org/m"} == await wakes.promised({"m", "org/m", "other"})
    assert frozenset() == await wakes.waiting({"m", "org/m"})
    assert PROMISE_S / 2 < server.own_client.ttl(promise_key("m")) <= PROMISE_S


async def test_channels_of_two_databases_are_apart(server):
    first, second = (Connection(f"{server.url}?db={number}", TIMEOUT_S) for number in (0, 3))

    assert ("forebay:wakes", "forebay:3:wakes") == (first.channel("wakes"), second.channel("wakes"))
    assert {"m"} == await heard(Wakes(second), Wakes(second), {"m"})

    await first.aclose()
    await second.aclose()


async def test_wakes_are_heard_again_after_redis_was_away_which_is_said_once(mortal_server):
    connection = Connection(mortal_server.url, TIMEOUT_S)
    wakes = Wakes(connection)
    with capture_logs() as logs:
        async with asyncio.timeout(60.0), aclosing(wakes.listen()) as listening:
            hearing = asyncio.create_task(anext(listening))
            while not hearing.done():
                await wakes.publish("before")
                await asyncio.wait({hearing}, timeout=0.05)
            mortal_server.kill()
            models = [hearing.result()]
            hearing = asyncio.create_task(anext(listening))
            with pytest.raises(RedisAwayError):
                await wakes.publish("meanwhile")
            await asyncio.sleep(1.5)  # two attempts to subscribe
            mortal_server.start()
            while models[-1] != "after":
                await wakes.publish("after")
                await asyncio.wait({hearing}, timeout=0.05)
                if hearing.done():
                    models.append(hearing.result())
                    hearing = asyncio.create_task(anext(listening))
            hearing.cancel()
            await asyncio.wait({hearing})

    assert {"before", "after"} == set(models)
    assert ["wakes_not_heard"] == [line["event"] for line in logs]
    await connection.aclose()


async def test_a_redis_that_falls_silent_is_away(mortal_server, monkeypatch):
    monkeypatch.setattr(connections, "SILENCE_S", 0.1)
    connection = Connection(mortal_server.url, 0.5)
    async with asyncio.timeout(TIMEOUT_S), aclosing(connection.messages("c")) as messages:
        hearing = asyncio.create_task(anext(messages))
        await asyncio.sleep(1.0)
        assert not hearing.done()  # it answers that it is there, again and again
        mortal_server.pause()
        with pytest.raises(RedisAwayError, match="in time"):
            await hearing
    mortal_server.resume()
    await connection.aclose()


async def test_a_cluster_passes_wakes_on_between_its_nodes():
    with redis_cluster() as cluster:
        teller = Connection(cluster.url, TIMEOUT_S, cluster=True)
        at_other_node = Connection(f"redis://127.0.0.1:{cluster.ports[2]}/0", TIMEOUT_S, cluster=True)
        models = {f"model-{number}" for number in range(12)}

        assert models == await heard(Wakes(at_other_node), Wakes(teller), models)
        assert models == await Wakes(at_other_node).waiting(models)
        await Wakes(teller).promise(models)
        assert models == await Wakes(at_other_node).promised(models)
        assert all(node.own_client.dbsize() for node in cluster.nodes)

        await teller.aclose()
        await at_other_node.aclose()
