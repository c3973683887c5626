"""vLLM's calls, against the simulated engine, and answers as recorded or as FastAPI gives them."""

from collections.abc import AsyncIterator

import pytest

from runtime.engines.calls import Calls, engine_client
from runtime.engines.vllm import NO_LORA, NO_SLEEP, Vllm
from runtime.errors import Problem
from tests.support.engines import an_engine
from tests.support.own_engine import OwnEngine, Reply, own_engine
from tests.support.shapes import read_recording
from tests.support.sidecar import PAUSES_S
from tests.support.source_tree import ROOT

NO_ROUTE = Reply(404, b'{"detail":"Not Found"}')


@pytest.fixture
async def simulated() -> AsyncIterator[Vllm]:
    async with an_engine() as (running, _), engine_client(running.url) as client:
        yield Vllm(Calls(client, pauses_s=PAUSES_S))


@pytest.fixture
async def told() -> AsyncIterator[tuple[Vllm, OwnEngine]]:
    """An engine that answers what it is told."""
    with own_engine() as engine:
        async with engine_client(f"http://{engine.address}") as client:
            yield Vllm(Calls(client, pauses_s=PAUSES_S)), engine


def recorded(name: str) -> Reply:
    theirs = read_recording(ROOT / f"tests/simulator/recordings/{name}.http")
    return Reply(theirs.status, theirs.body.partition(b"\n[")[0])


async def test_an_adapter_is_loaded_and_unloaded(simulated: Vllm):
    said = await simulated.load_adapter("ad", "/adapters/ad")
    listed = list(await simulated.cards())
    unloaded = await simulated.unload_adapter("ad")

    assert "Success: LoRA adapter 'ad' added successfully." == said
    assert ["tiny", "ad"] == listed
    assert "Success: LoRA adapter 'ad' removed successfully." == unloaded
    assert ["tiny"] == list(await simulated.cards())


@pytest.mark.parametrize(
    ("recording", "status", "said"),
    [
        ("lora_load_dup", 409, "The lora adapter 'ad1' has already been loaded."),
        ("lora_unload_unknown", 404, "The lora adapter 'ad3' cannot be found."),
    ],
)
async def test_recorded_refusals_keep_their_words(told: tuple[Vllm, OwnEngine], recording: str, status: int, said: str):
    vllm, engine = told
    engine.answer = lambda _: recorded(recording)

    with pytest.raises(Problem) as caught:
        await vllm.load_adapter("ad1", "/x")

    assert (status, True) == (caught.value.status, caught.value.message.startswith(said))


async def test_an_adapter_that_does_not_fit_is_refused_in_the_engines_words(told: tuple[Vllm, OwnEngine]):
    vllm, engine = told
    said = "LoRA rank 64 is greater than max_lora_rank 16."
    engine.answer = lambda _: Reply(400, b'{"error":{"message":"%s","code":400}}' % said.encode())

    with pytest.raises(Problem) as caught:
        await vllm.load_adapter("large", "/x")

    assert (400, said) == (caught.value.status, caught.value.message)


async def test_an_engine_without_the_paths_is_told_how_to_start(told: tuple[Vllm, OwnEngine]):
    vllm, engine = told
    engine.answer = lambda _: NO_ROUTE
    problems = []
    for call in (vllm.load_adapter("ad", "/x"), vllm.unload_adapter("ad"), vllm.sleep(1)):
        with pytest.raises(Problem) as caught:
            await call
        problems.append((caught.value.status, caught.value.message))

    assert [(501, NO_LORA), (501, NO_LORA), (501, NO_SLEEP)] == problems
    assert NO_LORA.startswith("VLLM_ALLOW_RUNTIME_LORA_UPDATING not set")
    assert False is await vllm.is_sleeping()


async def test_it_sleeps_and_wakes(simulated: Vllm):
    states = [await simulated.is_sleeping()]
    await simulated.sleep(1)
    states.append(await simulated.is_sleeping())
    await simulated.wake()

    assert [False, True, False] == [*states, await simulated.is_sleeping()]


async def test_discarded_weights_are_read_again_before_the_cache_is_there(told: tuple[Vllm, OwnEngine]):
    vllm, engine = told
    engine.metrics = b'vllm:engine_sleep_state{sleep_state="discard_all"} 1.0\n'

    await vllm.wake()

    sent = [(one.path, one.body) for one in engine.received]
    reload = ("/collective_rpc", b'{"method":"reload_weights"}')
    assert [("/wake_up?tags=weights", b""), reload, ("/wake_up?tags=kv_cache", b"")] == sent
