from pathlib import Path

import httpx
import pytest

from tests.support.engines import a_chat, an_engine
from tests.support.shapes import read_recording, shape

RECORDINGS = Path(__file__).parents[1] / "recordings"
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


async def test_the_index_says_what_this_is_and_serves():
    async with an_engine() as (_, client):
        index = await client.get("/")
        model = (await client.get("/v1/models")).json()["data"][0]["id"]

    assert 200 == index.status_code
    assert "an engine that Forebay simulates" in index.text
    assert model in index.text


@pytest.mark.parametrize(("method", "below"), [("GET", "a"), ("DELETE", "a"), ("POST", "a/cancel")])
async def test_a_stored_response_is_not_found_in_plain_words(method: str, below: str):
    async with an_engine() as (_, client):
        answer = await client.request(method, f"/v1/responses/{below}")

    assert (404, "The simulated engine stores no responses.") == (
        answer.status_code,
        answer.json()["error"]["message"],
    )


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


async def test_health_is_an_empty_200_unless_a_fault_says_otherwise():
    async with an_engine() as (_, client):
        await client.post("/sim/fault", json={"kind": "unhealthy", "times": 2})
        replies = [await client.get("/health") for _ in range(3)]
        answer = await client.post(CHAT, json=a_chat())

    assert [503, 503, 200] == [reply.status_code for reply in replies]
    assert b"" == replies[-1].content
    assert 200 == answer.status_code


async def test_detokenize_gives_the_text_back():
    async with an_engine() as (_, client):
        tokens = (await client.post("/tokenize", json={"prompt": "Hello wheel"})).json()["tokens"]
        answer = await client.post("/detokenize", json={"tokens": tokens})

    assert {"prompt": "Hello wheel"} == answer.json()


async def test_metrics_may_have_sglangs_names():
    async with an_engine(metrics="sglang") as (_, client):
        text = (await client.get("/metrics")).text

    assert "sglang:num_running_reqs" in text
    assert "vllm:" not in text


async def test_between_a_crash_and_the_restart_connections_are_closed():
    async with an_engine() as (running, client):
        running.engine.crash(3600)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get("/health")
