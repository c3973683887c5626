"""Calls to engines: a simulated vLLM, and servers that answer as others do."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controllers.modeladapter.engines import EngineError, Engines, work_of
from controllers.modeladapter.objects import Host
from tests.support.adapters import an_adapter
from tests.support.engines import a_chat, an_engine, figure
from tests.support.own_engine import OwnEngine, Received, Reply, own_engine


@asynccontextmanager
async def engines() -> AsyncIterator[Engines]:
    async with Engines() as made:
        yield made


def host(address: str, *, runtime: bool = False, engine: str = "") -> Host:
    ip, _, port = address.rpartition(":")
    return Host("default/a", "a", ip, int(port), int(port) if runtime else None, engine, 0)


async def test_an_engine_loads_lists_and_unloads():
    async with an_engine() as (running, client), engines() as calls:
        there = host(running.url.removeprefix("http://"))
        assert {"tiny"} == await calls.models(there, {})

        await calls.load(there, an_adapter(), {})
        await calls.load(there, an_adapter(), {})
        assert {"tiny", "lora"} == await calls.models(there, {})
        answer = await client.post("/v1/chat/completions", json=a_chat(model="lora"))
        assert 200 == answer.status_code

        await calls.unload(there, an_adapter())
        assert {"tiny"} == await calls.models(there, {})


async def test_the_metrics_say_what_placement_asks_for():
    async with an_engine(adapter_slots=3) as (running, client), engines() as calls:
        await client.post("/v1/load_lora_adapter", json={"lora_name": "lora", "lora_path": "/models/lora"})
        await client.post("/v1/chat/completions", json=a_chat())
        work = await calls.work(host(running.url.removeprefix("http://")), {})

        spent_s = await figure(client, "vllm:e2e_request_latency_seconds_sum")
        prompt = await figure(client, "vllm:prompt_tokens_total")
    assert (3, spent_s, 2 * prompt + 5) == work


def test_metrics_that_say_nothing_are_nothing():
    assert (None, None, None) == work_of(b"up 1\n") == work_of(b"")


@pytest.fixture
def other() -> AsyncIterator[OwnEngine]:
    with own_engine() as running:
        yield running


async def test_the_runtime_is_told_the_place_and_the_credentials(other: OwnEngine):
    adapter = an_adapter(url="s3://bucket/lora", spec={"additional_config": {"api-key": "sk-1"}})
    async with engines() as calls:
        await calls.load(host(other.address, runtime=True), adapter, {"token": "t"})
        await calls.unload(host(other.address, runtime=True), adapter)

    loaded, unloaded = other.received
    assert ("/v1/lora_adapter/load", "/v1/lora_adapter/unload") == (loaded.path, unloaded.path)
    assert "Bearer sk-1" == loaded.headers["authorization"]
    assert {
        "lora_name": "lora", "artifact_url": "s3://bucket/lora", "credentials": {"token": "t"},
        "additional_config": {"api-key": "sk-1"},
    } == json.loads(loaded.body)  # fmt: skip
    assert {"lora_name": "lora", "cleanup_local": True} == json.loads(unloaded.body)


async def test_sglang_has_paths_of_its_own_and_the_hub_is_the_engines(other: OwnEngine):
    async with engines() as calls:
        await calls.load(host(other.address, engine="sglang"), an_adapter(url="huggingface://org/lora"), {})

    assert "/load_lora_adapter" == other.only.path
    assert {"lora_name": "lora", "lora_path": "org/lora"} == json.loads(other.only.body)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(404, b'{"detail":"Not Found"}'), "VLLM_ALLOW_RUNTIME_LORA_UPDATING is not set"),
        (
            Reply(400, b'{"error":{"message":"LoRA rank 64 is greater\\nthan max_lora_rank 16"}}'),
            "rank 64 is greater than",
        ),
        (Reply(404, b'{"error":{"message":"No adapter found for /x"}}'), "No adapter found for /x"),
        (Reply(500, b"out of memory"), "answered 500: out of memory"),
    ],
)
async def test_a_refusal_is_told_in_the_engines_words(other: OwnEngine, reply: Reply, words: str):
    def answer(_: Received) -> Reply:
        return reply

    other.answer = answer
    async with engines() as calls:
        with pytest.raises(EngineError) as refused:
            await calls.load(host(other.address), an_adapter(), {})

    assert words in str(refused.value)


async def test_a_store_needs_the_runtime(other: OwnEngine):
    async with engines() as calls:
        with pytest.raises(EngineError, match="s3://b/x needs a container 'aibrix-runtime'"):
            await calls.load(host(other.address), an_adapter(url="s3://b/x"), {})

    assert not other.received


async def test_nobody_and_no_list_are_errors(other: OwnEngine):
    async with engines() as calls:
        with pytest.raises(EngineError, match="GET /v1/models"):
            await calls.models(host("127.0.0.1:9"), {})
        with pytest.raises(EngineError, match="no list of models"):
            await calls.models(host(other.address), {})
