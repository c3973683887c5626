"""Records of adapters that replicas share, on a real Redis."""

from collections.abc import AsyncIterator

import pytest

from gateway.adapters import records as records_module
from gateway.adapters.records import LEADER, Board, Failure, Records, State, Wanted
from tests.support.polling import until
from tests.support.redis import RedisServer
from traffic.connection import Connection, RedisAwayError

ONE = Wanted("ad", "m", "/ad", 2, "binPack", "1")
STATE = State("1", ("a", "b"), (Failure("b", 2, "b: no", 7.5),))


@pytest.fixture
async def records(server: RedisServer) -> AsyncIterator[Records]:
    connection = Connection(server.url, 5.0)
    yield Records(connection)
    await connection.aclose()


async def test_what_one_writes_all_read(records: Records):
    await records.want(ONE)
    await records.tell({"ad": STATE, "old": State("0")}, set())
    await records.tell({}, {"old"})

    assert Board(True, {"ad": ONE}, {"ad": STATE}) == await records.look("a")
    assert (ONE, STATE, {"ad": ONE}) == (
        await records.wanted("ad"), await records.state("ad"), await records.all_wanted(),
    )  # fmt: skip

    await records.forget("ad")
    assert Board(True) == await records.look("a")
    assert None is await records.wanted("ad")


async def test_one_leads_as_long_as_it_looks(records: Records, server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    assert [True, False, True] == [(await records.look(name)).leads for name in ("a", "b", "a")]

    monkeypatch.setattr(records_module, "LEASE_MS", 20)
    await records.look("a")
    await until(lambda: not server.own_client.exists(LEADER))
    assert [True, False] == [(await records.look(name)).leads for name in ("b", "a")]


async def test_a_redis_that_is_away_is_said():
    connection = Connection("redis://127.0.0.1:1", 1.0)
    with pytest.raises(RedisAwayError):
        await Records(connection).look("a")
    await connection.aclose()
