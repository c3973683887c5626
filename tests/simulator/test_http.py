import asyncio
from pathlib import Path

import pytest

from tests.support.engines import FAST, STOPPED, a_chat, an_engine, until_figure
from tests.support.shapes import read_recording, shape

RECORDINGS = Path(__file__).parent / "recordings"
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("recording", "method", "path"),
    [
        ("err_404", "GET", "/v1/nothing"),
        ("err_405", "GET", CHAT),
        ("get_version", "GET", "/version"),
        ("get_models", "GET", "/v1/models"),
    ],
)
async def test_a_short_answer_has_the_recorded_status_headers_and_shape(recording, method, path):
    theirs = read_recording(RECORDINGS / f"{recording}.http")
    async with an_engine() as (_, client):
        ours = await client.request(method, path)

    assert (theirs.status, shape(theirs.json)) == (ours.status_code, shape(ours.json()))
    for name in ("server", "content-type", "vary", "allow"):
        assert theirs.headers.get(name) == ours.headers.get(name), name


@pytest.mark.parametrize("recording", ["err_404", "err_405", "get_version"])
async def test_a_constant_answer_is_the_recorded_one(recording):
    path = {"err_404": "/v1/nothing", "err_405": CHAT, "get_version": "/version"}[recording]
    async with an_engine() as (_, client):
        ours = await client.get(path)

    assert read_recording(RECORDINGS / f"{recording}.http").body == ours.content


async def test_tokenize_counts_what_a_chat_would_use():
    chat = a_chat()
    async with an_engine() as (_, client):
        tokens = (await client.post("/tokenize", json=chat | {"return_token_strs": True})).json()
        answer = (await client.post(CHAT, json=chat)).json()

    assert answer["usage"]["prompt_tokens"] == tokens["count"] == len(tokens["tokens"]) == len(tokens["token_strs"])
    assert (8192, "<|user|>Hello<|end|><|assistant|>") == (tokens["max_model_len"], "".join(tokens["token_strs"]))


async def test_tokenize_refuses_an_unknown_model():
    async with an_engine() as (_, client):
        assert 404 == (await client.post("/tokenize", json={"model": "nope", "prompt": "x"})).status_code


async def test_metrics_are_plain_text():
    async with an_engine() as (_, client):
        reply = await client.get("/metrics")

    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert b"vllm:num_requests_running" in reply.content


async def test_health_is_an_empty_200_until_told_otherwise():
    async with an_engine() as (_, client):
        await client.post("/sim/fault", json={"kind": "unhealthy", "times": 2})
        replies = [await client.get("/health") for _ in range(3)]
        answer = await client.post(CHAT, json=a_chat())

    assert [503, 503, 200] == [reply.status_code for reply in replies]
    assert b"" == replies[-1].content
    assert 200 == answer.status_code


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
        await client.post("/sim/speed", json={"ttft_s": 0})

        assert 200 == (await request).status_code


async def test_a_speed_factor_scales_the_engines_own_speed():
    async with an_engine() as (_, client):
        slow = (await client.post("/sim/speed", json={"factor": 0.5, "ttft_s": 2})).json()
        back = (await client.post("/sim/speed", json={})).json()

    assert (4.0, FAST.tokens_per_s / 2) == (slow["ttft_s"], slow["tokens_per_s"])
    assert (FAST.ttft_s, FAST.tokens_per_s) == (back["ttft_s"], back["tokens_per_s"])
