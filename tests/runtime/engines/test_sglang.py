"""SGLang's calls, against a server with its paths (tests/support/sglang_server.py)."""

from collections.abc import AsyncIterator

import pytest

from runtime.engines.calls import Calls
from runtime.engines.sglang import NO_SAVER, Sglang
from runtime.errors import Problem
from tests.support.sglang_server import MODEL, SglangServer
from tests.support.sidecar import PAUSES_S


@pytest.fixture
def server() -> SglangServer:
    return SglangServer()


@pytest.fixture
async def engine(server: SglangServer) -> AsyncIterator[Sglang]:
    async with server.client() as client:
        yield Sglang(Calls(client, pauses_s=PAUSES_S))


async def test_an_adapter_is_loaded_listed_and_unloaded(server: SglangServer, engine: Sglang):
    await engine.check()
    await engine.load_adapter("ad", "/adapters/ad")

    assert {MODEL: None, "ad": MODEL} == {name: card["parent"] for name, card in (await engine.cards()).items()}

    await engine.unload_adapter("ad")

    assert [MODEL] == list(await engine.cards())
    assert ["/load_lora_adapter", "/unload_lora_adapter"] == server.calls


async def test_refusals_are_told_apart_by_the_engines_words(server: SglangServer, engine: Sglang):
    await engine.load_adapter("ad", "/adapters/ad")
    with pytest.raises(Problem, match="already exists") as twice:
        await engine.load_adapter("ad", "/adapters/ad")
    with pytest.raises(Problem, match="does not exist") as unknown:
        await engine.unload_adapter("other")
    server.max_rank_error = "LoRA adapter has rank 256 which is over max_lora_rank = 64"
    with pytest.raises(Problem) as too_large:
        await engine.load_adapter("large", "/adapters/large")

    assert [409, 404, 400] == [caught.value.status for caught in (twice, unknown, too_large)]
    assert server.max_rank_error == too_large.value.message


@pytest.mark.parametrize(("keeps_weights", "reads_again"), [(True, []), (False, ["/update_weights_from_disk"])])
async def test_weights_that_were_not_kept_are_read_again(
    server: SglangServer, engine: Sglang, keeps_weights: bool, reads_again: list[str]
):
    server.keeps_weights = keeps_weights

    await engine.sleep(1)
    asleep = server.has_memory
    await engine.wake()

    assert (False, True, True) == (asleep, server.has_memory, server.has_weights)
    assert ["/release_memory_occupation", "/resume_memory_occupation", *reads_again] == server.calls


async def test_an_engine_that_would_release_nothing_is_not_asked(server: SglangServer, engine: Sglang):
    server.has_memory_saver = False

    with pytest.raises(Problem, match=NO_SAVER) as caught:
        await engine.sleep(1)

    assert (501, []) == (caught.value.status, server.calls)


async def test_it_does_not_tell_whether_it_sleeps(engine: Sglang):
    assert None is await engine.is_sleeping()
