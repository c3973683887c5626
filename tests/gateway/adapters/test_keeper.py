"""Adapters that engines lost are loaded again, by one of all replicas, and failures are retried later."""

import time
from itertools import pairwise

import orjson
import pytest

from gateway.adapters import keeper, records
from gateway.adapters.records import LEADER, Records, State, Wanted
from gateway.discovery.probing import http_get
from gateway.worker.worker import Worker
from kube.backoff import Backoff
from tests.support.adapter_gateways import MODEL, a_gateway, all_ready, an_adapter, comes_to
from tests.support.engines import an_engine
from tests.support.own_engine import OwnEngine, Received, Reply, own_engine
from tests.support.polling import until
from tests.support.redis import RedisServer


async def lose(address: str, name: str = "ad") -> None:
    """Have an engine lose an adapter, as one does that is started again."""
    body = orjson.dumps({"lora_name": name})
    await http_get.post(address, "/v1/unload_lora_adapter", body, limit_bytes=10_000)


def records_of(gateway: Worker) -> Records:
    return gateway.adapting.desk._records


async def state_of(gateway: Worker, name: str) -> State:
    return await records_of(gateway).state(name) or State("")


async def test_what_an_engine_lost_is_loaded_again_also_when_all_gateways_were_started_again(server: RedisServer):
    async with an_engine() as (one, _):
        async with a_gateway(server.url, one.address) as gateway:
            await gateway.adapting.desk.load(an_adapter())
            await lose(one.address)
            await comes_to(gateway, "ad")
            await comes_to(gateway, "ad", one.address)

        await lose(one.address)
        server.own_client.delete(LEADER)  # instead of three seconds
        async with a_gateway(server.url, one.address) as gateway:
            await comes_to(gateway, "ad", one.address)


async def test_one_whose_engine_is_away_is_loaded_elsewhere(server: RedisServer):
    async with (
        an_engine() as (one, _), an_engine() as (other, _), a_gateway(server.url, one.address, other.address) as gateway
    ):  # fmt: skip
        await all_ready(gateway, 2)
        names = [f"ad{number}" for number in range(3)]
        for name in names:
            await gateway.adapting.desk.load(an_adapter(name))
        other.stop()
        for name in names:
            await comes_to(gateway, name, one.address)


class Moody(OwnEngine):
    """Loads adapters but those that it is told to refuse."""

    def __init__(self, engine: OwnEngine) -> None:
        self.engine, self.loaded, self.refuses = engine, set[str](), set[str]()
        self.asked: list[tuple[str, float]] = []
        engine.answer = self.hear
        self.show()

    def hear(self, received: Received) -> Reply:
        name = orjson.loads(received.body)["lora_name"]
        self.asked.append((name, time.monotonic()))
        if name in self.refuses:
            return Reply(400, b'{"error":{"message":"it is too large"}}')
        self.loaded.add(name)
        self.show()
        return Reply()

    def show(self) -> None:
        cards = [{"id": MODEL}, *({"id": name, "parent": MODEL} for name in sorted(self.loaded))]
        self.engine.models = Reply(body=orjson.dumps({"data": cards}))


async def test_a_load_that_fails_is_tried_again_each_time_later_and_holds_up_no_other(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeper, "RETRIES", Backoff(first_s=0.4, cap_s=60.0))
    with own_engine() as engine:
        moody = Moody(engine)
        moody.refuses = {"bad"}
        async with a_gateway(server.url, engine.address) as gateway:
            await all_ready(gateway, 1)
            for name in ("bad", "good"):
                await records_of(gateway).want(Wanted(name, MODEL, f"/{name}", id="1"))
            await comes_to(gateway, "good", engine.address)
            await until(lambda: len([name for name, _ in moody.asked if name == "bad"]) >= 3)
            (failure,) = (await state_of(gateway, "bad")).failures
            assert (f"{engine.address}: it is too large", True) == (failure.message, failure.attempts >= 2)

            server.own_client.delete(LEADER)
            moody.refuses = set()
            await comes_to(gateway, "bad", engine.address)
            await until(lambda: fails_no_more(gateway))
        times = [at_s for name, at_s in moody.asked if name == "bad"]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert pauses[0] >= 0.2
        assert pauses[1] >= 0.4
        assert 1 == len([name for name, _ in moody.asked if name == "good"])


async def fails(gateway: Worker) -> bool:
    return bool((await state_of(gateway, "bad")).failures)


async def fails_no_more(gateway: Worker) -> bool:
    return not await fails(gateway)


async def test_a_new_leader_waits_on_as_the_last_one_did(server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "LEASE_MS", 200)
    with own_engine() as engine:
        moody = Moody(engine)
        moody.refuses = {"bad"}
        async with a_gateway(server.url, engine.address) as gateway:
            await all_ready(gateway, 1)
            await records_of(gateway).want(Wanted("bad", MODEL, "/bad", id="1"))
            await until(lambda: fails(gateway))
        async with a_gateway(server.url, engine.address) as gateway:
            await all_ready(gateway, 1)
            await until(lambda: gateway.adapting.keeper._board.leads)
            assert 1 == (await state_of(gateway, "bad")).failures[0].attempts
    assert 1 == len(moody.asked)
