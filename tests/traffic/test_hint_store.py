import json
import time

import pytest
from structlog.testing import capture_logs

from tests.support.hints import a_hint
from tests.support.redis import RedisServer
from tests.support.redis_cluster import redis_cluster
from traffic import hint_json
from traffic.connection import Connection, RedisAwayError
from traffic.hint_store import LIFE_S, HintStore


@pytest.fixture
async def connection(server: RedisServer):
    opened = Connection(server.url, 5.0)
    yield opened
    await opened.aclose()


async def test_a_hint_is_published_for_two_minutes(connection, server):
    store = HintStore(connection)

    await store.publish("org/m", a_hint())

    assert {"org/m": a_hint()} == await store.read(["org/m", "other"])
    assert 0 < LIFE_S - server.own_client.pttl("aibrix:gpu_plan_org/m") / 1000 + 1 < 60
    assert 7 == json.loads(server.own_client.get("aibrix:gpu_plan_org/m"))["version"]


async def test_models_whose_names_look_like_patterns_or_prefixes_have_hints_of_their_own(connection):
    store = HintStore(connection)
    for version, model in enumerate(("m", "m-2", "m*", "m[1]", "{m}:x")):
        await store.publish(model, a_hint(version=version))

    hints = await store.read(["m", "m-2", "m*", "m[1]", "{m}:x", "m?"])

    assert {"m": 0, "m-2": 1, "m*": 2, "m[1]": 3, "{m}:x": 4} == {m: hint.version for m, hint in hints.items()}


async def test_what_has_not_changed_is_not_read_again(connection):
    store = HintStore(connection)
    await store.publish("m", a_hint())

    first, second = [(await store.read(["m"]))["m"] for _ in range(2)]

    assert first is second


async def test_garbage_is_skipped_and_logged_once(connection, server):
    store = HintStore(connection)
    await store.publish("good", a_hint())
    server.own_client.set("aibrix:gpu_plan_bad", "no json")
    server.own_client.lpush("aibrix:gpu_plan_list", "no text")
    server.own_client.set("aibrix:gpu_plan_long", b"x" * (hint_json.MAX_BYTES + 100))

    with capture_logs() as logs:
        for _ in range(3):
            assert ["good"] == list(await store.read(["bad", "list", "long", "good"]))

    assert [("bad", "malformed"), ("list", "WRONGTYPE"), ("long", "more than")] == [
        (line["model"], next(word for word in ("malformed", "WRONGTYPE", "more than") if word in line["why"]))
        for line in logs
        if line["event"] == "hint_unreadable"
    ]


async def test_garbage_after_a_good_hint_is_logged_again(connection, server):
    store = HintStore(connection)

    with capture_logs() as logs:
        for _ in range(2):
            server.own_client.set("aibrix:gpu_plan_m", "{")
            assert {} == await store.read(["m"])
            await store.publish("m", a_hint())
            assert {"m": a_hint()} == await store.read(["m"])

    assert 2 == len(logs)


async def test_the_clock_is_that_of_redis(connection):
    assert abs(time.time() - await connection.now_s()) < 60


async def test_calls_end_in_time_while_redis_is_away(mortal_server):
    connection = Connection(mortal_server.url, 0.2)
    store = HintStore(connection)
    await store.publish("m", a_hint())

    mortal_server.pause()
    for call in (store.read(["m"]), store.publish("m", a_hint()), connection.now_s()):
        with pytest.raises(RedisAwayError, match="in time"):
            await call
    mortal_server.resume()
    mortal_server.kill()
    with pytest.raises(RedisAwayError):
        await store.read(["m"])
    mortal_server.start()
    assert {"m": a_hint()} == await store.read(["m"])
    await connection.aclose()


async def test_a_cluster_holds_hints_on_all_its_nodes():
    with redis_cluster() as cluster:
        connection = Connection(cluster.url, 10.0, cluster=True)
        store = HintStore(connection)
        models = [f"model-{number}" for number in range(12)]
        for model in models:
            await store.publish(model, a_hint())

        assert set(models) == set(await store.read(models))
        assert all(node.own_client.dbsize() for node in cluster.nodes)
        assert abs(time.time() - await connection.now_s()) < 60
        await connection.aclose()
