"""Adapters that the admin REST is asked for: there when a call returns, and what cannot be is refused."""

import asyncio

import orjson
import pytest

from gateway.adapters.desk import AdapterError
from gateway.adapters.placing import Adapter
from gateway.adapters.records import Records, Wanted
from gateway.discovery.probing import http_get
from gateway.worker.worker import Worker
from tests.support.adapter_gateways import MODEL, a_gateway, all_ready, an_adapter, comes_to, having
from tests.support.engines import an_engine
from tests.support.own_engine import OwnEngine, Received, Reply, own_engine
from tests.support.polling import until
from tests.support.redis import RedisServer, redis_server
from traffic.connection import RedisAwayError

LOAD = orjson.dumps({"lora_name": "ad", "lora_path": "/ad"})


def records_of(gateway: Worker) -> Records:
    return gateway.adapting.desk._records


async def listed(address: str) -> list[str]:
    page = orjson.loads((await http_get.get(address, "/v1/models", limit_bytes=10_000)).body)
    return [card["id"] for card in page["data"] if card["id"] != MODEL]


async def test_requests_are_served_when_a_load_returns_and_elsewhere_within_a_second(server: RedisServer):
    async with an_engine() as (one, _), an_engine() as (other, _):
        places = sorted((one.address, other.address))
        async with a_gateway(server.url, *places) as gateway, a_gateway(server.url, *places) as sibling:
            loaded = await gateway.adapting.desk.load(an_adapter(replicas=2))
            assert (Adapter("ad", MODEL, tuple(places)), places) == (loaded, having(gateway, "ad"))
            assert 1.5 > await comes_to(sibling, "ad", *places)
            assert loaded == await sibling.adapting.desk.load(an_adapter(replicas=2))
            assert [loaded] == await sibling.adapting.desk.adapters()

            assert loaded == await sibling.adapting.desk.unload("ad")
            assert ([], [[], []]) == (having(sibling, "ad"), [await listed(place) for place in places])
            await comes_to(gateway, "ad")
            assert {} == await records_of(gateway).all_wanted()


async def test_what_cannot_be_is_refused_before_an_engine_is_asked(server: RedisServer):
    async with an_engine() as (one, _), a_gateway(server.url, one.address) as gateway:
        desk = gateway.adapting.desk
        await desk.load(an_adapter("there"))
        cases = {
            (404, "model_not_found"): an_adapter(model="other"),
            (409, "name_taken"): an_adapter(MODEL),
            (409, "name_taken", "path"): an_adapter("there", path="/elsewhere"),
        }
        for (status, code, *_), asked in cases.items():
            with pytest.raises(AdapterError) as caught:
                await desk.load(asked)
            assert (status, code) == (caught.value.status, caught.value.code)
        with pytest.raises(AdapterError) as caught:
            await desk.unload("ad")
        assert 404 == caught.value.status
        assert {"there"} == (await records_of(gateway).all_wanted()).keys()


async def test_without_a_ready_pod_nothing_is_loaded(server: RedisServer):
    async with a_gateway(server.url, "127.0.0.1:1") as gateway:
        await all_ready(gateway, 0)
        with pytest.raises(AdapterError) as caught:
            await gateway.adapting.desk.load(an_adapter())
    assert 503 == caught.value.status


def an_own_engine(engine: OwnEngine) -> None:
    """Have it list nothing but the base model and refuse every load."""
    engine.models = Reply(body=orjson.dumps({"data": [{"id": MODEL}]}))
    engine.answer = lambda received: (
        Reply(400, b'{"error":{"message":"rank 64 is too large"}}') if "/load" in received.path else Reply()
    )


async def test_an_engine_that_refuses_is_named_with_its_words_and_nothing_stays(server: RedisServer):
    with own_engine() as engine:
        an_own_engine(engine)
        async with a_gateway(server.url, engine.address) as gateway:
            await all_ready(gateway, 1)
            with pytest.raises(AdapterError) as caught:
                await gateway.adapting.desk.load(an_adapter())
            assert (502, f"{engine.address}: rank 64 is too large") == (caught.value.status, caught.value.message)
            assert {} == await records_of(gateway).all_wanted()
            assert ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"] == [one.path for one in engine.received]


async def test_more_replicas_that_fail_leave_what_was_there(server: RedisServer):
    with own_engine() as refusing:
        an_own_engine(refusing)
        async with an_engine() as (one, _), a_gateway(server.url, one.address, refusing.address) as gateway:
            before = Wanted("ad", MODEL, "/ad", id="1")
            await http_get.post(one.address, "/v1/load_lora_adapter", LOAD, limit_bytes=10_000)
            await records_of(gateway).want(before)
            await all_ready(gateway, 2)
            await comes_to(gateway, "ad", one.address)
            with pytest.raises(AdapterError):
                await gateway.adapting.desk.load(an_adapter(replicas=2))
            assert ([one.address], before) == (having(gateway, "ad"), await records_of(gateway).wanted("ad"))


async def test_one_that_is_unloaded_while_it_loads_does_not_stay(server: RedisServer):
    with own_engine() as engine:
        an_own_engine(engine)
        go_on = asyncio.Event()
        loop = asyncio.get_running_loop()

        def answer(received: Received) -> Reply:
            if "/load" in received.path:
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return Reply()

        engine.answer = answer
        async with a_gateway(server.url, engine.address) as gateway:
            await all_ready(gateway, 1)
            loading = asyncio.create_task(gateway.adapting.desk.load(an_adapter()))
            await until(lambda: bool(engine.received))
            await gateway.adapting.desk.unload("ad")
            loading.cancel()
            go_on.set()
            await until(lambda: len(engine.received) == 3)
    assert ["load", "unload", "unload"] == [one.path.split("/")[2].split("_")[0] for one in engine.received]


async def test_without_redis_nothing_is_asked_of_engines():
    with redis_server() as server:
        async with an_engine() as (one, _), a_gateway(server.url, one.address) as gateway:
            await all_ready(gateway, 1)
            server.kill()
            with pytest.raises(RedisAwayError):
                await gateway.adapting.desk.load(an_adapter())
            assert [] == await listed(one.address)


async def test_one_that_is_to_be_loaded_is_known_and_belongs_to_its_base(server: RedisServer):
    async with a_gateway(server.url, "127.0.0.1:1", waits=True) as gateway:
        await records_of(gateway).want(an_adapter())
        await until(lambda: "ad" in gateway.fleet.models())

        assert (True, MODEL) == (gateway.fleet.policy("ad").scales_from_zero, gateway.planning._bases["ad"])
        assert not gateway.fleet.policy(MODEL).scales_from_zero
        assert [Adapter("ad", MODEL, ())] == await gateway.adapting.desk.adapters()
