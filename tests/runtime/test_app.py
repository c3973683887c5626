"""The HTTP face, with the bodies and answers of AIBrix's runtime, beside a simulated engine."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from runtime.downloads.downloading import Downloads
from tests.support.engines import an_engine
from tests.support.own_engine import Reply, own_engine
from tests.support.polling import until
from tests.support.sidecar import AWAY, Shelf, a_runtime
from tests.support.stores.file_server import Site, file_server
from tests.support.stores.hub import add_model

LOAD, UNLOAD = "/v1/lora_adapter/load", "/v1/lora_adapter/unload"
PHASES = "/v1/runtime/models"


async def test_probes_tell_of_the_process_and_of_its_engine():
    async with an_engine() as (running, _), a_runtime(running.url) as client:
        answers = [await client.get(path) for path in ("/healthz", "/ready")]
        running.engine.die()
        lost = await client.get("/ready")
        alive = await client.get("/healthz")

    assert [(200, {"status": "ok"}), (200, {"status": "ready"})] == [(one.status_code, one.json()) for one in answers]
    assert (503, {"status": "not ready", "reason": "the engine answers 503 for /health"}) == (
        lost.status_code, lost.json(),
    )  # fmt: skip
    assert 200 == alive.status_code


async def test_the_models_are_the_engines_own():
    async with an_engine() as (running, engine), a_runtime(running.url) as client:
        theirs, ours = (await engine.get("/v1/models")).json(), (await client.get("/v1/models")).json()
    async with a_runtime(AWAY) as client:
        away = await client.get("/v1/models")

    assert [card["id"] for card in theirs["data"]] == [card["id"] for card in ours["data"]]
    assert (502, "error", 502) == (away.status_code, away.json()["object"], away.json()["code"])


async def test_a_path_is_loaded_and_unloaded_as_in_v0_2_1(tmp_path: Path):
    async with an_engine() as (running, engine), a_runtime(running.url, adapters_folder=tmp_path) as client:
        loaded = await client.post(LOAD, json={"lora_name": "ad", "lora_path": "/models/ad"})
        served = await engine.post("/v1/chat/completions", json={"model": "ad", "messages": [], "max_tokens": 1})
        unloaded = await client.post(UNLOAD, json={"lora_name": "ad"})

    assert (200, "Success: LoRA adapter 'ad' added successfully.") == (loaded.status_code, loaded.text)
    assert "ad" == served.json()["model"]
    assert (200, "success") == (unloaded.status_code, unloaded.json()["status"])


async def test_an_artifact_is_loaded_as_by_later_releases(tmp_path: Path):
    shelf = Shelf(tmp_path / "shelf")
    uri, adapters = shelf.put("ad"), tmp_path / "adapters"
    body = {
        "lora_name": "ad", "artifact_url": uri, "credentials": {"token": "t"}, "local_dir": str(adapters),
        "additional_config": {"revision": "r", "api-key": "k"},
    }  # fmt: skip
    async with an_engine() as (running, _), a_runtime(running.url, shelf, adapters_folder=adapters) as client:
        loaded = await client.post(LOAD, json=body)
        await client.post(UNLOAD, json={"lora_name": "ad", "cleanup_local": True})

    assert 200 == loaded.status_code
    assert {"status", "message", "local_path", "engine_response"} == loaded.json().keys()
    assert [(uri, {"revision": "r", "token": "t"})] == shelf.fetched
    assert [] == list(adapters.iterdir())


def files_in(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


async def test_the_adapter_of_the_article_comes_from_the_hub(tmp_path: Path):
    repository, files = "ai-blond/Qwen-Qwen2.5-Coder-1.5B-Instruct-lora", {"adapter_config.json": b"{}"}
    with file_server(Site()) as hub:
        add_model(hub, repository, files)
        downloads = Downloads({"HF_ENDPOINT": hub.url}, Random(1))
        async with (
            an_engine() as (running, engine),
            a_runtime(running.url, downloads, adapters_folder=tmp_path) as client,
        ):
            body = {"lora_name": "qwen-code-lora", "artifact_url": f"huggingface://{repository}"}
            loaded = await client.post(LOAD, json=body)
            listed = {card["id"]: card["root"] for card in (await engine.get("/v1/models")).json()["data"]}

    assert 200 == loaded.status_code, loaded.text
    local = loaded.json()["local_path"]
    assert listed["qwen-code-lora"] == local
    assert {"adapter_config.json"} <= files_in(local)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"lora_name": "a/b", "lora_path": "/x"}, 400, "lora_name"),
        ({"lora_name": "a", "artifact_url": "hf://o/a", "credentials_secret": "s"}, 400, "credentials_secret"),
        ({"lora_name": "a", "artifact_url": "hf://o/a", "local_dir": "/etc"}, 400, "local_dir"),
        ({"lora_name": "a", "artifact_url": "shelf://none"}, 404, None),
        ({"lora_name": "tiny", "lora_path": "/x"}, 409, "lora_name"),
        ({"lora_name": "a"}, 422, None),
        ({"lora_name": "a", "lora_path": "/x", "lora_pth": "/x"}, 422, "lora_pth"),
        ([], 422, None),
    ],
)
async def test_what_cannot_be_loaded_is_told_in_the_shape_of_errors(
    tmp_path: Path, body: Any, status: int, param: str | None
):
    async with an_engine() as (running, _), a_runtime(running.url, Shelf(tmp_path)) as client:
        answer = await client.post(LOAD, json=body)

    told = answer.json()
    assert {"object", "message", "type", "param", "code"} == told.keys()
    assert (status, status, param) == (answer.status_code, told["code"], told["param"])


async def test_an_engine_that_is_away_or_takes_no_adapters_is_told():
    async with a_runtime(AWAY) as client:
        away = await client.post(LOAD, json={"lora_name": "a", "lora_path": "/x"})
    async with an_engine() as (running, _), a_runtime(running.url, engine="llamacpp") as client:
        other = await client.post(LOAD, json={"lora_name": "a", "lora_path": "/x"})

    assert (502, 501) == (away.status_code, other.status_code)
    assert "INFERENCE_ENGINE=openai" in other.json()["message"]


async def test_the_engines_key_is_ours_the_callers_or_the_adapters(tmp_path: Path):
    with own_engine() as engine:
        engine.models = Reply(body=b'{"object":"list","data":[]}')
        async with a_runtime(f"http://{engine.address}", Shelf(tmp_path), api_key="ours") as client:
            body = {"lora_name": "a", "artifact_url": "/x"}
            await client.post(LOAD, json=body)
            await client.post(LOAD, json=body, headers={"authorization": "Bearer callers"})
            await client.post(LOAD, json={**body, "additional_config": {"api-key": "adapters"}})

        sent = [one.headers["authorization"] for one in engine.received if one.path == "/v1/load_lora_adapter"]
    assert ["Bearer ours", "Bearer callers", "Bearer adapters"] == sent


async def test_models_are_downloaded_and_listed_with_the_folder_in_body_or_query(tmp_path: Path):
    shelf, folder = Shelf(tmp_path / "shelf"), str(tmp_path / "models")
    async with a_runtime(AWAY, shelf) as client:
        begun = await client.post("/v1/model/download", json={"model_uri": shelf.put("m"), "local_dir": folder})

        async def listed() -> list[str]:
            answer = await client.get("/v1/model/list", params={"local_dir": folder})
            return [card["model_status"] for card in answer.json()["data"]]

        await until(lambda: _equals(listed(), ["downloaded"]))
        by_body = (await client.request("GET", "/v1/model/list", json={"local_dir": folder})).json()
        elsewhere = (await client.get("/v1/model/list")).json()

    assert {"model_name", "model_root_path", "source", "model_status"} == begun.json().keys()
    assert ("list", "m") == (by_body["object"], by_body["data"][0]["model_name"])
    assert [] == elsewhere["data"]


async def _equals(asked: Any, expected: object) -> bool:
    return bool((await asked) == expected)


async def test_the_engine_sleeps_and_wakes_by_call():
    async with an_engine() as (running, _), a_runtime(running.url) as client:
        asleep = (await client.post(f"{PHASES}/sleep", json={"level": 2, "operation_id": "o", "drain_s": 5})).json()
        level = running.engine.state.sleep_level
        ready = (await client.get("/ready")).status_code
        [listed] = (await client.get(PHASES)).json()["models"]
        awake = (await client.post(f"{PHASES}/wake", json={"model_name": "tiny"})).json()
        drained = (await client.post(f"{PHASES}/drain", json={"timeout_s": 5})).json()
        unknown = await client.post(f"{PHASES}/wake", json={"model_name": "other"})

    assert {
        "status": "success", "model_name": "tiny", "operation_id": "o", "applied": True, "phase": "sleeping"
    } == asleep  # fmt: skip
    assert (2, 503) == (level, ready)
    assert ("tiny", "sleeping", False) == (listed["model_name"], listed["phase"], listed["ready"])
    assert (True, "active") == (awake["applied"], awake["phase"])
    assert ("draining", 0) == (drained["phase"], drained["requests"])
    assert (404, "model_name") == (unknown.status_code, unknown.json()["param"])


async def test_an_unknown_path_and_another_method_have_the_shape_of_errors():
    async with a_runtime(AWAY) as client:
        answers = [await client.get("/nowhere"), await client.get(LOAD), await client.get("/docs")]

    assert [404, 405, 404] == [one.status_code for one in answers] == [one.json()["code"] for one in answers]
