"""The responses API of the simulated engine, asked raw and by OpenAI's own client."""

import json
from pathlib import Path

import openai
import pytest

from tests.support.engines import an_engine
from tests.support.shapes import named_events, read_recording, shape

RECORDINGS = Path(__file__).parents[1] / "recordings"
RESPONSES = "/v1/responses"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {"type": "function", "name": "time", "parameters": {"type": "object"}}


def asking(prompt="Hello", **changes):
    return {"model": "tiny", "input": prompt} | changes


async def test_a_whole_answer_has_the_recorded_shape():
    theirs = read_recording(RECORDINGS / "responses.http").json
    async with an_engine() as (_, client):
        answer = (await client.post(RESPONSES, json=asking(max_output_tokens=4, temperature=0.0))).json()

    assert shape(theirs) == shape(answer)
    assert ("incomplete", 4) == (answer["status"], answer["usage"]["output_tokens"])


async def test_a_stream_has_the_recorded_events_in_numbered_order():
    theirs = named_events(read_recording(RECORDINGS / "responses_stream.http").body)
    async with an_engine() as (_, client):
        body = asking(max_output_tokens=4, temperature=0.0)
        whole = (await client.post(RESPONSES, json=body)).json()
        ours = named_events((await client.post(RESPONSES, json=body | {"stream": True})).content)

    assert {repr((name, shape(event))) for name, event in theirs} == {
        repr((name, shape(event))) for name, event in ours
    }
    assert list(range(len(ours))) == [event["sequence_number"] for _, event in ours]
    deltas = [event["delta"] for name, event in ours if name == "response.output_text.delta"]
    assert whole["output"][0]["content"][0]["text"] == "".join(deltas)
    last = ours[-1][1]["response"]
    assert last["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


async def test_what_the_client_says_is_repeated():
    said = {
        "metadata": {"usage": "1"}, "instructions": "Be brief.", "tools": [WEATHER], "tool_choice": "none",
        "parallel_tool_calls": False, "max_output_tokens": 20, "temperature": 0.5,
    }  # fmt: skip
    async with an_engine() as (_, client):
        answer = (await client.post(RESPONSES, json=asking(**said))).json()
        stream = named_events((await client.post(RESPONSES, json=asking(stream=True, **said))).content)

    for response in (answer, stream[0][1]["response"], stream[-1][1]["response"]):
        assert said == {key: response[key] for key in said}


async def test_a_prompt_that_was_cached_is_told():
    async with an_engine() as (_, client):
        body = asking("water " * 100)
        first, second = [(await client.post(RESPONSES, json=body)).json()["usage"] for _ in range(2)]

    assert 0 == first["input_tokens_details"]["cached_tokens"] < second["input_tokens_details"]["cached_tokens"]
    assert first["input_tokens"] == second["input_tokens"]


async def test_the_official_client_streams_calls_and_gives_their_results():
    async with an_engine() as (_, client), openai.AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="x") as asked:
        question = [{"role": "user", "content": "Weather and time?"}]
        async with asked.responses.stream(model="tiny", input=question, tools=[WEATHER, TIME]) as stream:
            answer = await stream.get_final_response()
        calls = [
            item.model_dump(exclude_none=True, include={"type", "call_id", "name", "arguments"})
            for item in answer.output
        ]
        results = [{"type": "function_call_output", "call_id": call["call_id"], "output": "ok"} for call in calls]
        final = await asked.responses.create(model="tiny", input=[*question, *calls, *results], tools=[WEATHER, TIME])

    assert ["get_weather", "time"] == [call["name"] for call in calls]
    assert ["city"] == list(json.loads(calls[0]["arguments"]))
    assert final.output_text


async def test_a_form_is_kept_and_log_probabilities_are_told():
    form = {"type": "json_schema", "name": "city", "schema": WEATHER["parameters"]}
    asked = {"text": {"format": form}, "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    async with an_engine() as (_, client):
        (item,) = (await client.post(RESPONSES, json=asking(**asked))).json()["output"]

    (part,) = item["content"]
    assert ["city"] == list(json.loads(part["text"]))
    assert part["text"] == "".join(entry["token"] for entry in part["logprobs"])


@pytest.mark.parametrize(
    "changes",
    [
        {"previous_response_id": "resp_1"},
        {"background": True},
        {"tools": [{"type": "web_search"}]},
        {"tool_choice": "required"},
        {"tool_choice": "sometimes"},
        {"tool_choice": {"type": "function", "name": "unknown"}},
        {"text": {"format": {"type": "xml"}}},
        {"max_output_tokens": 0},
        {"input": 5},
    ],
    ids=str,
)
async def test_what_cannot_be_done_is_refused_plainly(changes):
    async with an_engine() as (_, client):
        answer = await client.post(RESPONSES, json=asking(**changes))

    assert 400 == answer.status_code
    assert answer.json()["error"]["message"]


async def test_an_engine_that_dies_in_a_stream_ends_it_with_a_failed_response():
    async with an_engine() as (_, client):
        await client.post("/sim/fault", json={"kind": "die_mid_stream", "after_tokens": 2})
        stream = named_events((await client.post(RESPONSES, json=asking(stream=True))).content)

    name, event = stream[-1]
    assert ("response.failed", "failed") == (name, event["response"]["status"])
