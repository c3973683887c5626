"""`forebay runtime` as a process beside a simulated engine, and whom it lets in."""

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from forebay.sidecar.process import Options, guarded
from tests.support.engines import an_engine
from tests.support.polling import until
from tests.support.sidecar import AWAY, Sidecar, sidecar
from tests.support.stores.bringing import PART, SMALL, content, held
from tests.support.stores.file_server import Site, file_server
from tests.support.stores.hub import add_model


async def test_it_stands_beside_an_engine(tmp_path: Path):
    async with an_engine() as (running, _):
        with sidecar(running.url, tmp_path / "log", INFERENCE_ENGINE_VERSION="0.32") as beside:
            await until(lambda: _answers(beside, "/ready", 200))
            page = (await beside.get("/metrics")).text

    assert 'aibrix:info_info{engine="vllm",engine_version="0.32"' in page
    assert "\naibrix:engine_up 1.0\n" in page


async def test_no_engine_and_no_name_of_one_keeps_it_from_starting(tmp_path: Path):
    with sidecar(AWAY, tmp_path / "log", INFERENCE_ENGINE="llamacpp") as beside:
        await until(lambda: _answers(beside, "/healthz", 200))
        assert await _answers(beside, "/ready", 503)
        page = (await beside.get("/metrics")).text
        status = beside.stop()

    assert ("\naibrix:engine_up 0.0\n" in page, 0) == (True, status)
    assert '"event":"engine_unknown"' in (tmp_path / "log").read_text()


async def test_it_downloads_also_what_an_ended_process_began(tmp_path: Path):
    files = {"config.json": b"{}", "model.safetensors": content(1, 40 * PART)}
    folder, log = str(tmp_path / "models"), tmp_path / "log"
    with file_server(Site(hold_after=10 * PART)) as hub:
        add_model(hub, "org/m", files)
        environment = {**SMALL, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}

        async def reached(beside: Sidecar, status: str) -> bool:
            cards = (await beside.get(f"/v1/model/list?local_dir={folder}")).json()["data"]
            return [status] == [card["model_status"] for card in cards]

        with sidecar(AWAY, log, **environment) as beside:
            await until(lambda: _answers(beside, "/healthz", 200))
            begun = await beside.post("/v1/model/download", model_uri="hf://org/m@main", local_dir=folder)
            assert "downloading" == begun.json()["model_status"]
            await until(lambda: asyncio.to_thread(lambda: hub.total >= 10 * PART))
            hub.released.set()
        with sidecar(AWAY, log, **environment) as beside:
            await until(lambda: _answers(beside, "/healthz", 200))
            await beside.post("/v1/model/download", model_uri="hf://org/m@main", local_dir=folder)
            await until(lambda: reached(beside, "downloaded"))

    assert held(tmp_path / "models" / "m") == files


async def _answers(beside: Sidecar, path: str, status: int) -> bool:
    return await beside.status(path) == status


@pytest.mark.parametrize(
    ("token", "headers", "get", "post"),
    [
        ("", {}, 200, 200),
        ("", {"origin": "https://evil.example"}, 200, 403),
        ("secret", {}, 200, 401),
        ("secret", {"authorization": "Bearer other"}, 200, 401),
        ("secret", {"authorization": "Bearer secret"}, 200, 200),
    ],
)
async def test_in_a_pod_everybody_reads_and_the_token_changes(token: str, headers: dict[str, str], get: int, post: int):
    app = guarded(PlainTextResponse("x"), Options("10.0.0.1:8080", admin_token=token))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pod", headers=headers) as client:
        answers = [await client.get("/ready"), await client.post("/v1/lora_adapter/load")]

    assert [get, post] == [one.status_code for one in answers]
