import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.support.ports import free_address
from tests.support.redis import RedisServer
from tests.support.redis_cluster import redis_cluster
from traffic.connection import Connection, RedisAwayError
from traffic.store import KEPT_S, LATE_S, TraceStore, trace_key
from traffic.window import WINDOW_S, Window

TIMEOUT_S = 20.0
WINDOW = Window(10.0, 3, {(80, 70): 2}, {80: 3}, in_flight=2, queued=1, refused=1, sent={"m-l20": 3})


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    opened = Connection(server.url, TIMEOUT_S)
    yield opened
    await opened.aclose()


@pytest.fixture
def store(connection: Connection) -> TraceStore:
    return TraceStore(connection, "w")


async def ended_s(connection: Connection) -> float:
    """The end of a window that is complete, by Redis's clock."""
    return await connection.now_s() // WINDOW_S * WINDOW_S - WINDOW_S


def at(end_s: float, window: Window = WINDOW) -> Window:
    return replace(window, starts_at_s=end_s - WINDOW_S)


def strictly(trace: bytes) -> dict[str, int]:
    """A trace as a reader of version 4 takes it: integers, and only cells' names beside `meta_`."""
    fields = json.loads(trace)
    assert all(type(count) is int for count in fields.values())
    assert all(re.fullmatch(r"\d+:\d+", name) for name in fields if not name.startswith("meta_"))
    return fields


async def test_a_reader_of_version_4_reads_ours(server: RedisServer, connection: Connection, store: TraceStore):
    end_s = await ended_s(connection)
    await store.write("org/m", at(end_s), 1)

    key = f"aibrix:org/m_request_trace_{end_s:.0f}"
    fields = strictly(server.own_client.get(key))
    assert {"80:70": 2} == {name: count for name, count in fields.items() if not name.startswith("meta_")}
    assert (4, 10, 10, 3, 2, 1) == tuple(
        fields[f"meta_{name}"]
        for name in ("v", "interval_sec", "precision", "total_reqs", "pending_reqs", "queueing_reqs")
    )
    assert 0 < server.own_client.ttl(key) <= KEPT_S


async def test_writers_at_once_lose_nothing(server: RedisServer, connection: Connection, store: TraceStore):
    stores = [TraceStore(connection, f"w{n}") for n in range(8)]
    end_s = await ended_s(connection)

    async def report(store: TraceStore):
        for number in range(1, 11):
            await store.write("m", at(end_s), number)

    await asyncio.gather(*(report(store) for store in stores))

    assert [
        Window(
            10.0, 240, {(80, 70): 160}, {80: 240}, 160, 80, 80, {"m-l20": 240}, starts_at_s=end_s - 10.0, writers=8
        )
    ] == await stores[0].read("m")  # fmt: skip
    strictly(server.own_client.get(trace_key("m", end_s)))


async def test_a_report_that_is_repeated_counts_once(connection: Connection, store: TraceStore):
    end_s = await ended_s(connection)
    for number in (1, 1, 2, 1, 2):
        await store.write("m", at(end_s), number)

    (window,) = await store.read("m")
    assert 2 * WINDOW.arrivals == window.arrivals


async def test_models_that_begin_alike_or_look_like_patterns_are_kept_apart(connection: Connection, store: TraceStore):
    end_s = await ended_s(connection)
    names = ["m", "m2", "m_request_trace_1", "m*", "[m]", "m:v1", "org/m", "{m}", "m\nn", "ü"]
    for arrivals, name in enumerate(names, start=1):
        await store.write(name, Window(10.0, arrivals, starts_at_s=end_s - 10.0), 1)

    assert set(names) == await store.models()
    assert list(range(1, len(names) + 1)) == [window.arrivals for name in names for window in await store.read(name)]


async def test_reads_complete_windows_in_order_and_after_a_time(
    server: RedisServer, connection: Connection, store: TraceStore
):
    now_s = await connection.now_s()
    next_end_s = now_s // WINDOW_S * WINDOW_S + 2 * WINDOW_S
    for end_s in (next_end_s, next_end_s - 40, next_end_s - 70, next_end_s - 50):
        await store.write("m", at(end_s), 1)

    windows = await store.read("m")
    assert [next_end_s - 80, next_end_s - 60, next_end_s - 50] == [window.starts_at_s for window in windows]
    assert windows[1:] == await store.read("m", windows[0].starts_at_s)
    assert windows[2:] == await store.read("m", windows[1].starts_at_s)
    assert [] == await store.read("m", windows[2].starts_at_s)
    assert [] == await store.read("m", now_s + 1_000)


@pytest.mark.parametrize(("late_s", "is_complete"), [(LATE_S - 0.01, False), (LATE_S, True)])
async def test_a_window_is_complete_only_when_reports_have_had_time(
    server: RedisServer, store: TraceStore, late_s: float, is_complete: bool
):
    class Stopped(Connection):
        async def now_s(self) -> float:
            return 1_000_000 + late_s

    await store.write("m", at(1_000_000), 1)
    connection = Stopped(server.url, TIMEOUT_S)

    assert [at(1_000_000)] * is_complete == await TraceStore(connection).read("m")
    await connection.aclose()


@pytest.mark.parametrize(
    "trace", ["no json", "[1]", '{"80:70": 1.5}', '{"a": {}}', '{"80:70": -1}', '{"80:70": 1}', "{}", "5", "null"]
)
async def test_what_is_stored_and_cannot_be_added_to_is_replaced(
    server: RedisServer, connection: Connection, store: TraceStore, trace: str
):
    end_s = await ended_s(connection)
    server.own_client.set(trace_key("m", end_s), trace)

    await store.write("m", at(end_s), 1)

    assert [at(end_s)] == await store.read("m")


async def test_another_gateways_trace_of_version_4_is_added_to(
    server: RedisServer, connection: Connection, store: TraceStore
):
    end_s = await ended_s(connection)
    theirs = {"meta_v": 4, "meta_interval_sec": 10, "meta_precision": 10, "meta_total_reqs": 4, "80:70": 1, "1:2": 1}
    server.own_client.set(trace_key("m", end_s), json.dumps(theirs))

    await store.write("m", at(end_s), 1)

    (window,) = await store.read("m")
    assert (7, {(80, 70): 3, (1, 2): 1}) == (window.arrivals, window.completed)


async def test_bad_traces_are_skipped_and_each_reason_is_said_once(
    server: RedisServer, connection: Connection, store: TraceStore
):
    end_s = await ended_s(connection)
    await store.write("m", at(end_s), 1)
    for ago, bad in enumerate(["{", "[", '{"x": 1}', '{"y": 1}'], start=1):
        server.own_client.set(trace_key("m", end_s - ago * WINDOW_S), bad)
    server.own_client.rpush(trace_key("m", end_s - 5 * WINDOW_S), "a list")

    with capture_logs() as lines:
        assert [at(end_s)] == await store.read("m")
        assert [at(end_s)] == await store.read("m")

    assert 3 == len(lines) == len({line["why"] for line in lines})


async def test_a_redis_that_is_away_is_an_error():
    connection = Connection(f"redis://{free_address()}", TIMEOUT_S)
    store = TraceStore(connection)
    for call in (store.write("m", at(10.0), 1), store.read("m"), store.models()):
        with pytest.raises(RedisAwayError):
            await call
    await connection.aclose()


async def test_a_cluster_keeps_traces_of_many_models():
    with redis_cluster() as cluster:
        connections = [Connection(cluster.url, TIMEOUT_S, cluster=True) for _ in range(2)]
        stores = [TraceStore(connection, writer) for connection, writer in zip(connections, "ab", strict=True)]
        end_s = await ended_s(connections[0])
        names = [f"m{n}" for n in range(12)] + ["m{x}"]
        for store in stores:
            for name in names:
                await store.write(name, at(end_s), 1)
                await store.write(name, at(end_s - WINDOW_S), 1)

        assert set(names) == await stores[0].models()
        for name in names:
            assert [6, 6] == [window.arrivals for window in await stores[1].read(name)]
        for connection in connections:
            await connection.aclose()
