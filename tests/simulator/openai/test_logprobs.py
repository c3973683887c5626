"""Log probabilities, in the recorded shape and beside the tokens that they are of."""

from pathlib import Path

import pytest

from tests.support.engines import an_engine, asking, choice_of
from tests.support.shapes import events, read_recording, shape

RECORDINGS = Path(__file__).parents[1] / "recordings"
CHAT = "/v1/chat/completions"


async def test_log_probabilities_have_the_recorded_shape():
    theirs = read_recording(RECORDINGS / "chat_logprobs.http").json["choices"][0]
    async with an_engine() as (_, client):
        ours = await choice_of(client, asking("Hi", max_tokens=20, logprobs=True, top_logprobs=2))

    assert list(theirs) == list(ours)
    assert shape(theirs["logprobs"]["content"][1]) in [shape(entry) for entry in ours["logprobs"]["content"]]


@pytest.mark.parametrize("asked", [0, 3])
async def test_log_probabilities_of_a_chat_stand_beside_each_token(asked):
    body = asking("Hi", max_tokens=9, logprobs=True, top_logprobs=asked)
    async with an_engine() as (_, client):
        choice = await choice_of(client, body)
        stream = events((await client.post(CHAT, json=body | {"stream": True})).content)

    entries = choice["logprobs"]["content"]
    assert choice["message"]["content"] == "".join(entry["token"] for entry in entries)
    assert [asked] * 9 == [len(entry["top_logprobs"]) for entry in entries]
    assert all(bytes(entry["bytes"]).decode() == entry["token"] and entry["logprob"] <= 0 for entry in entries)
    streamed = [entry for event in stream[1:-1] for entry in event["choices"][0]["logprobs"]["content"]]
    assert entries == streamed


async def test_log_probabilities_of_a_completion_have_offsets():
    body = {"model": "tiny", "prompt": "Hi", "max_tokens": 6, "logprobs": 2}
    async with an_engine() as (_, client):
        choice = (await client.post("/v1/completions", json=body)).json()["choices"][0]
        stream = events((await client.post("/v1/completions", json=body | {"stream": True})).content)

    told = choice["logprobs"]
    text = choice["text"]
    assert [text[at:][: len(token)] for at, token in zip(told["text_offset"], told["tokens"], strict=True)] == told[
        "tokens"
    ]
    assert [2] * 6 == [len(each) for each in told["top_logprobs"]]
    streamed = [event["choices"][0]["logprobs"] for event in stream[:-1]]
    assert told == {key: [value for each in streamed for value in each[key]] for key in told}
