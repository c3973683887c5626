import asyncio
from pathlib import Path

import pytest

from tests.support.engines import STOPPED, a_chat, an_engine, figure, until_figure
from tests.support.shapes import read_recording

RECORDINGS = Path(__file__).parents[1] / "recordings"
CHAT = "/v1/chat/completions"


async def test_faults_can_be_listed_and_cleared():
    async with an_engine() as (_, client):
        pending = (await client.post("/sim/fault", json={"kind": "error", "times": None})).json()
        cleared = (await client.delete("/sim/fault")).json()
        answer = await client.post(CHAT, json=a_chat())

    assert (["error"], [], 200) == ([fault["kind"] for fault in pending], cleared, answer.status_code)


@pytest.mark.parametrize(
    ("path", "body"), [("/sim/fault", {"kind": "sulk"}), ("/sim/speed", {"tokens_per_s": 0}), ("/sim/speed", {"x": 1})]
)
async def test_a_control_request_that_makes_no_sense_is_refused(path, body):
    async with an_engine() as (_, client):
        assert 400 == (await client.post(path, json=body)).status_code


async def test_a_new_speed_binds_requests_that_already_run():
    async with an_engine(speed=STOPPED) as (_, client):
        request = asyncio.create_task(client.post(CHAT, json=a_chat()))
        await until_figure(client, 1, "vllm:num_requests_running")
        await client.post("/sim/speed", json={"tokens_per_s": 1000})

        assert 200 == (await request).status_code


async def test_a_speed_factor_scales_the_gpus_speed_and_an_empty_body_brings_it_back():
    async with an_engine() as (running, client):
        speeds = []
        for body in ({"factor": 0.5}, {"tokens_per_s": 100}, {}):
            await client.post("/sim/speed", json=body)
            speeds.append(running.engine.state.model.profile.speed.pass_s(1, 1))

    assert [0.001, 0.01, 0.0005] == speeds


def told(answer, recording):
    """Ours and the recorded: status, content type, body."""
    theirs = read_recording(RECORDINGS / f"{recording}.http")
    body = theirs.body.partition(b"\n[")[0]  # the recorder noted the time after it
    ours = answer.status_code, answer.headers["content-type"] if answer.status_code != 200 else None, answer.content
    return ours, (theirs.status, theirs.headers.get("content-type") if theirs.status != 200 else None, body)


async def test_adapters_come_and_go_as_recorded():
    async with an_engine() as (_, client):
        ad1 = {"lora_name": "ad1", "lora_path": "/adapters/1"}
        loaded, again = [await client.post("/v1/load_lora_adapter", json=ad1) for _ in range(2)]
        await client.post("/v1/load_lora_adapter", json=ad1 | {"lora_name": "ad3"})
        models = (await client.get("/v1/models")).json()["data"]
        served = await client.post(CHAT, json=a_chat(model="ad3"))
        gone, unknown = [await client.post("/v1/unload_lora_adapter", json={"lora_name": "ad3"}) for _ in range(2)]
        refused = await client.post(CHAT, json=a_chat(model="ad3"))

    assert [("tiny", None), ("ad1", "tiny"), ("ad3", "tiny")] == [(model["id"], model["parent"]) for model in models]
    assert ["tiny", "/adapters/1", "/adapters/1"] == [model["root"] for model in models]
    assert (200, "ad3") == (served.status_code, served.json()["model"])
    for answer, recording in (
        (loaded, "lora_load_ok"), (again, "lora_load_dup"), (gone, "lora_unload_ok"),
        (unknown, "lora_unload_unknown"), (refused, "lora_chat_unloaded"),
    ):  # fmt: skip
        ours, theirs = told(answer, recording)
        assert theirs == ours


@pytest.mark.parametrize("body", [{}, {"lora_name": "x"}, {"lora_name": "", "lora_path": "p"}])
async def test_an_adapter_without_name_or_path_is_refused(body):
    async with an_engine() as (_, client):
        assert 400 == (await client.post("/v1/load_lora_adapter", json=body)).status_code


async def test_a_sleeping_engine_is_healthy_lets_requests_hang_and_says_so_as_recorded():
    async with an_engine() as (_, client):
        asleep = await client.post("/sleep?level=1")
        said = await client.get("/is_sleeping")
        request = asyncio.create_task(client.post(CHAT, json=a_chat()))
        await until_figure(client, 1, "vllm:num_requests_waiting")
        assert 200 == (await client.get("/health")).status_code
        assert 1 == await figure(client, "vllm:engine_sleep_state", sleep_state="weights_offloaded")
        awake = await client.post("/wake_up")
        said_then = await client.get("/is_sleeping")

        assert 200 == (await request).status_code

    for answer, recording in (
        (asleep, "dev_sleep"), (said, "dev_is_sleeping1"), (awake, "dev_wake"), (said_then, "dev_is_sleeping2")
    ):  # fmt: skip
        ours, theirs = told(answer, recording)
        assert theirs == ours


async def test_an_engine_whose_weights_were_discarded_wakes_in_steps():
    async with an_engine() as (running, client):
        await client.post("/sleep?level=2")
        states = []
        for path, body in (
            ("/wake_up?tags=weights", None), ("/collective_rpc", {"method": "reload_weights"}),
            ("/wake_up?tags=kv_cache", None),
        ):  # fmt: skip
            assert 200 == (await client.post(path, json=body)).status_code
            states.append(running.engine.state.sleep_level)
        unknown = await client.post("/collective_rpc", json={"method": "shutdown"})

    assert ([2, 2, 0], 400) == (states, unknown.status_code)


async def test_an_unknown_level_of_sleep_is_refused():
    async with an_engine() as (_, client):
        assert 400 == (await client.post("/sleep?level=9")).status_code


async def test_the_prefix_cache_can_be_emptied_while_nothing_runs():
    chat = a_chat(messages=[{"role": "user", "content": "x" * 1000}])
    async with an_engine() as (_, client):
        for _ in range(2):
            await client.post(CHAT, json=chat)
            emptied = await client.post("/reset_prefix_cache")
        hits = await figure(client, "vllm:prefix_cache_hits_total")
        await client.post("/sim/speed", json={"tokens_per_s": 0.001})
        request = asyncio.create_task(client.post(CHAT, json=chat))
        await until_figure(client, 1, "vllm:num_requests_running")
        refused = await client.post("/reset_prefix_cache")
        request.cancel()
        await asyncio.wait([request])

    assert (0, {"success": True}, {"success": False}) == (hits, emptied.json(), refused.json())


@pytest.mark.parametrize("path", ["/sim/fault", "/sim/speed", "/sleep", "/reset_prefix_cache"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_a_web_page_changes_nothing(path: str, origin: str) -> None:
    async with an_engine() as (_, client):
        answer = await client.post(path, content=b"{}", headers={"origin": origin})
        asleep = (await client.get("/is_sleeping")).json()

    assert (403, {"is_sleeping": False}) == (answer.status_code, asleep)
