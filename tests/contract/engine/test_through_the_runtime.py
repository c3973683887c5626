"""The runtime beside the engine: the same calls on simulated engines and, with `make test-vllm`, on real ones."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.engine.test_answers import CHAT, a_chat, ask
from tests.support.engine_process import EngineProcess
from tests.support.sidecar import Shelf, a_runtime

LOAD, UNLOAD, PHASES = "/v1/lora_adapter/load", "/v1/lora_adapter/unload", "/v1/runtime/models"


@pytest.fixture
def shelf(engine: EngineProcess, tmp_path: Path) -> Shelf:
    """Has an adapter `ad` that the engine can load."""
    made = Shelf(tmp_path / "shelf")
    if Path(engine.adapter).is_dir():
        shutil.copytree(engine.adapter, made.folder / "ad")
    else:
        made.put("ad")
    return made


@pytest.fixture
async def runtime(engine: EngineProcess, shelf: Shelf, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with a_runtime(f"http://{engine.address}", shelf, adapters_folder=tmp_path / "adapters") as client:
        yield client


async def test_an_adapter_is_brought_loaded_used_and_unloaded(
    engine: EngineProcess, runtime: httpx.AsyncClient, tmp_path: Path
):
    body = {"lora_name": "ad5", "artifact_url": "shelf://ad"}

    loaded, again = [await runtime.post(LOAD, json=body) for _ in range(2)]
    listed = {card["id"]: card["root"] for card in (await runtime.get("/v1/models")).json()["data"]}
    served = ask(engine, CHAT, a_chat(model="ad5"))
    taken = await runtime.post(LOAD, json={"lora_name": "ad5", "lora_path": "/other"})
    unloaded, twice = [await runtime.post(UNLOAD, json={"lora_name": "ad5"}) for _ in range(2)]
    refused = ask(engine, CHAT, a_chat(model="ad5"))

    assert [200, 200] == [loaded.status_code, again.status_code], loaded.text
    assert "Success: LoRA adapter 'ad5' added successfully." == loaded.json()["message"]
    assert listed["ad5"] == loaded.json()["local_path"] == again.json()["local_path"]
    assert (200, "ad5") == (served.status, served.json["model"])
    assert 409 == taken.status_code
    assert ([200, 200], 404) == ([unloaded.status_code, twice.status_code], refused.status)
    assert [] == list((tmp_path / "adapters").iterdir())


async def test_the_engine_sleeps_is_not_ready_and_answers_again(engine: EngineProcess, runtime: httpx.AsyncClient):
    assert 200 == (await runtime.get("/ready")).status_code

    asleep = (await runtime.post(f"{PHASES}/sleep", json={"level": 1})).json()
    ready = await runtime.get("/ready")
    awake = (await runtime.post(f"{PHASES}/wake", json={})).json()

    assert ("sleeping", True) == (asleep["phase"], asleep["applied"])
    assert (503, "the engine is sleeping") == (ready.status_code, ready.json()["reason"].partition(";")[0])
    assert ("active", True) == (awake["phase"], awake["applied"])
    assert 200 == (await runtime.get("/ready")).status_code == ask(engine, CHAT, a_chat()).status


async def test_its_metrics_have_standard_names(engine: EngineProcess, runtime: httpx.AsyncClient):
    ask(engine, CHAT, a_chat())

    page = (await runtime.get("/metrics")).text

    samples = {one.name: one.value for family in text_string_to_metric_families(page) for one in family.samples}
    assert (0, 1) == (samples["aibrix:queue_size"], samples["aibrix:engine_up"])
    for name in ("prompt_tokens_total", "generation_tokens_total", "e2e_request_latency_seconds_count"):
        assert samples[f"aibrix:{name}"] == samples[f"vllm:{name}"] > 0


@pytest.fixture
def large(engine: EngineProcess, shelf: Shelf) -> Path:
    """An adapter of a rank over the engine's maximum."""
    config = shelf.folder / "ad" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"r": 64}))
    return config.parent


async def test_what_does_not_fit_is_refused_in_the_engines_words(
    engine: EngineProcess, runtime: httpx.AsyncClient, large: Path
):
    too_large = await runtime.post(LOAD, json={"lora_name": "large", "artifact_url": str(large)})

    assert 502 == too_large.status_code, too_large.text  # vLLM 0.32 answers 500
    assert "LoRA rank 64 is greater than max_lora_rank" in too_large.json()["message"]
    assert 200 == ask(engine, CHAT, a_chat()).status


@pytest.fixture
def no_folder(engine: EngineProcess, tmp_path: Path) -> Path:
    """A path that a real engine refuses."""
    if not Path(engine.adapter).is_dir():
        pytest.skip("a simulated engine takes any path")
    return tmp_path / "none"


async def test_a_folder_that_is_not_there_is_refused_in_the_engines_words(runtime: httpx.AsyncClient, no_folder: Path):
    nothing = await runtime.post(LOAD, json={"lora_name": "none", "artifact_url": str(no_folder)})

    assert (404, True) == (nothing.status_code, "No adapter found" in nothing.json()["message"]), nothing.text
