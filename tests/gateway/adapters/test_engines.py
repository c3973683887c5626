"""Calls of engines, and the words of those that refuse."""

from functools import partial

import pytest

from gateway.adapters.engines import Engines
from gateway.discovery.probing import http_get
from tests.support.engines import an_engine
from tests.support.own_engine import Reply, own_engine
from tests.support.pods import an_endpoint

ENGINES = Engines(partial(http_get.post, limit_bytes=10_000))


async def test_an_engine_may_be_asked_twice():
    async with an_engine() as (running, _):
        endpoint = an_endpoint(address=running.address)

        said = [await ENGINES.load(endpoint, "ad", "/ad") for _ in range(2)]
        page = await http_get.get(running.address, "/v1/models", limit_bytes=10_000)
        said += [await ENGINES.unload(endpoint, "ad") for _ in range(2)]

    assert ([""] * 4, True) == (said, b'"ad"' in page.body)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(400, b'{"error":{"message":"rank 64 is too large"}}'), "rank 64 is too large"),
        (Reply(400, b'{"success":false,"error_message":"no such files"}'), "no such files"),
        (Reply(404, b'{"detail":"Not Found"}'), "VLLM_ALLOW_RUNTIME_LORA_UPDATING not set"),
        (Reply(500, b""), "status 500"),
    ],
)
async def test_a_refusal_is_told_in_the_engines_words(reply: Reply, said: str):
    with own_engine() as engine:
        engine.answer = lambda _: reply
        assert said in await ENGINES.load(an_endpoint(address=engine.address), "ad", "/x")


async def test_an_engine_that_is_away_is_told():
    assert await ENGINES.load(an_endpoint(address="127.0.0.1:1"), "ad", "/x")


async def test_sglang_has_paths_of_its_own():
    with own_engine() as engine:
        endpoint = an_endpoint(address=engine.address, engine="sglang")
        await ENGINES.load(endpoint, "ad", "/x")
        await ENGINES.unload(endpoint, "ad")

        assert [
            ("/load_lora_adapter", b'{"lora_name":"ad","lora_path":"/x"}'),
            ("/unload_lora_adapter", b'{"lora_name":"ad"}'),
        ] == [(received.path, received.body) for received in engine.received]
