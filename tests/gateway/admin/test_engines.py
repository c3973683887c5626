"""Adapters loaded on simulated engines, and what is said of engines that refuse."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from random import Random

import pytest

from gateway.admin.engines import Adapter, AdapterError, Engines
from gateway.discovery.probing import http_get
from gateway.fleet.pod import Pod
from routing.placement import Policy
from tests.support.engines import an_engine
from tests.support.own_engine import Reply, own_engine
from tests.support.pods import a_pod


def engines_of(*pods: Pod) -> Engines:
    return Engines(lambda: pods, partial(http_get.post, limit_bytes=10_000), Random(1))


def listing(name: str, address: str, *adapters: str, model: str = "tiny") -> Pod:
    return a_pod(name, address=address, models=(model, *adapters), lists_adapters=True)


@pytest.fixture
async def addresses() -> AsyncIterator[list[str]]:
    """Three engines."""
    async with AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(an_engine()))[0].address for _ in range(3)]


async def loaded_at(address: str) -> list[str]:
    page = await http_get.get(address, "/v1/models", limit_bytes=10_000)
    return [name for name in ("ad", "b") if f'"id":"{name}"'.encode() in page.body]


async def test_an_adapter_goes_to_the_pods_with_the_fewest(addresses: list[str]):
    full, *free = (listing(name, address) for name, address in zip("abc", addresses, strict=True))
    full = listing("a", addresses[0], "b")

    loaded = await engines_of(full, *free).load("tiny", "ad", "/ad", 2, Policy.LEAST_ADAPTERS)

    assert Adapter("ad", "tiny", ("b", "c")) == loaded
    assert [[], ["ad"], ["ad"]] == [await loaded_at(address) for address in addresses]


async def test_a_pod_that_has_it_counts_and_is_not_asked_again(addresses: list[str]):
    pods = [listing("a", "127.0.0.1:1", "ad"), listing("b", addresses[1]), listing("c", addresses[2])]

    assert ("a",) == (await engines_of(*pods).load("tiny", "ad", "/ad", 1, Policy.LEAST_ADAPTERS)).pods
    assert 2 == len((await engines_of(*pods).load("tiny", "ad", "/ad", 2, Policy.LEAST_ADAPTERS)).pods)


async def test_an_unload_is_everywhere_and_adapters_are_listed(addresses: list[str]):
    before = engines_of(*(listing(name, address) for name, address in zip("abc", addresses, strict=True)))
    await before.load("tiny", "ad", "/ad", 9, Policy.RANDOM)
    after = engines_of(*(listing(name, address, "ad") for name, address in zip("abc", addresses, strict=True)))

    assert [Adapter("ad", "tiny", ("a", "b", "c"))] == after.adapters()
    assert Adapter("ad", "tiny", ("a", "b", "c")) == await after.unload("ad")
    assert [[]] * 3 == [await loaded_at(address) for address in addresses]
    await after.unload("ad")  # engines that have forgotten it meanwhile are as they should be


@pytest.mark.parametrize(
    ("model", "name", "status", "code"),
    [
        ("other", "ad", 404, "model_not_found"),
        ("tiny", "tiny", 409, "name_taken"),
        ("tiny", "b", 409, "name_taken"),
        ("fixed", "ad", 404, "model_not_found"),
    ],
)
async def test_what_cannot_be_is_refused_before_an_engine_is_asked(model: str, name: str, status: int, code: str):
    pods = (
        listing("a", "127.0.0.1:1"), listing("b", "127.0.0.1:1", "b", model="second"), a_pod("c", models=("fixed",)),
    )  # fmt: skip

    with pytest.raises(AdapterError) as caught:
        await engines_of(*pods).load(model, name, "/x", 1, Policy.LEAST_ADAPTERS)

    assert (status, code) == (caught.value.status, caught.value.code)


async def test_without_a_ready_pod_nothing_is_loaded():
    pod = listing("a", "127.0.0.1:1")
    pod.set_health(False)

    with pytest.raises(AdapterError) as caught:
        await engines_of(pod).load("tiny", "ad", "/x", 1, Policy.LEAST_ADAPTERS)

    assert 503 == caught.value.status


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(400, b'{"error":{"message":"rank 64 is too large"}}'), "rank 64 is too large"),
        (Reply(400, b'{"success":false,"error_message":"no such files"}'), "no such files"),
        (Reply(404, b'{"detail":"Not Found"}'), "VLLM_ALLOW_RUNTIME_LORA_UPDATING not set"),
        (Reply(500, b""), "status 500"),
    ],
)
async def test_an_engine_that_refuses_is_named_with_its_words(reply: Reply, said: str):
    with own_engine() as engine:
        engine.answer = lambda _: reply
        with pytest.raises(AdapterError) as caught:
            await engines_of(listing("a", engine.address)).load("tiny", "ad", "/x", 1, Policy.LEAST_ADAPTERS)

    told = caught.value.message
    assert (502, "a: ", True) == (caught.value.status, told[:3], said in told)


async def test_an_engine_that_is_away_is_named():
    with pytest.raises(AdapterError, match="a: "):
        await engines_of(listing("a", "127.0.0.1:1")).load("tiny", "ad", "/x", 1, Policy.LEAST_ADAPTERS)


async def test_sglang_has_paths_of_its_own():
    with own_engine() as engine:
        pod = a_pod("a", address=engine.address, models=("m",), lists_adapters=True, engine="sglang")
        await engines_of(pod).load("m", "ad", "/x", 1, Policy.LEAST_ADAPTERS)

        assert ("/load_lora_adapter", b'{"lora_name":"ad","lora_path":"/x"}') == (engine.only.path, engine.only.body)
