"""Anthropic's API of the simulated engine, asked raw and by Anthropic's own client."""

from pathlib import Path

import anthropic
import pytest

from tests.support.engines import an_engine
from tests.support.shapes import named_events, read_recording, shape

RECORDINGS = Path(__file__).parents[1] / "recordings"
MESSAGES = "/v1/messages"
WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {"name": "time", "input_schema": {"type": "object"}}
OURS_ALONE = {"cache_read_input_tokens", "cache_creation_input_tokens"}


def asking(text="Hello", **changes):
    return {"model": "tiny", "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | changes


def recorded(value):
    """A value without what vLLM 0.32 does not report."""
    if isinstance(value, dict):
        return {key: recorded(inner) for key, inner in value.items() if key not in OURS_ALONE}
    return [recorded(inner) for inner in value] if isinstance(value, list) else value


async def test_a_whole_answer_has_the_recorded_shape():
    async with an_engine() as (_, client):
        answer = (await client.post(MESSAGES, json=asking(max_tokens=4))).json()

    assert shape(read_recording(RECORDINGS / "messages.http").json) == shape(recorded(answer))
    assert ("max_tokens", 4) == (answer["stop_reason"], answer["usage"]["output_tokens"])


async def test_a_stream_has_the_recorded_events_and_says_the_same_as_the_whole_answer():
    theirs = named_events(read_recording(RECORDINGS / "messages_stream.http").body)
    async with an_engine() as (_, client):
        whole = (await client.post(MESSAGES, json=asking(max_tokens=4))).json()
        ours = named_events((await client.post(MESSAGES, json=asking(max_tokens=4, stream=True))).content)

    assert [name for name, _ in ours] == [event["type"] for _, event in ours]
    assert {repr((name, shape(event))) for name, event in theirs} == {
        repr((name, shape(recorded(event)))) for name, event in ours
    }
    texts = [event["delta"]["text"] for name, event in ours if name == "content_block_delta"]
    assert whole["content"][0]["text"] == "".join(texts)
    assert whole["usage"] == ours[-2][1]["usage"]


async def test_a_prompt_that_was_cached_is_counted_apart():
    body = asking("water " * 100)
    async with an_engine() as (_, client):
        first, second = [(await client.post(MESSAGES, json=body)).json()["usage"] for _ in range(2)]
        counted = (await client.post(MESSAGES + "/count_tokens", json=body)).json()

    assert 0 == first["cache_read_input_tokens"] < second["cache_read_input_tokens"]
    assert counted["input_tokens"] == first["input_tokens"]
    assert first["input_tokens"] == second["input_tokens"] + second["cache_read_input_tokens"]


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "auto"}, ["get_weather", "time"]),
        ({"type": "auto", "disable_parallel_tool_use": True}, ["get_weather"]),
        ({"type": "any"}, ["get_weather", "time"]),
        ({"type": "tool", "name": "time"}, ["time"]),
        ({"type": "none"}, []),
    ],
)
async def test_tools_are_used_as_the_choice_says(choice, called):
    body = asking("Weather and time", tools=[WEATHER, TIME], tool_choice=choice)
    async with an_engine() as (_, client):
        answer = (await client.post(MESSAGES, json=body)).json()

    assert called == [block["name"] for block in answer["content"] if block["type"] == "tool_use"]
    assert ("tool_use" if called else "end_turn") == answer["stop_reason"]


async def test_the_official_client_streams_a_tool_and_gives_its_result():
    async with (
        an_engine() as (_, client),
        anthropic.AsyncAnthropic(base_url=str(client.base_url), api_key="x", max_retries=0) as asked,
    ):
        question = asking("The weather?", tools=[WEATHER])
        async with asked.messages.stream(**question) as stream:
            answer = await stream.get_final_message()
        (used,) = answer.content
        result = {"type": "tool_result", "tool_use_id": used.id, "content": "sunny"}
        turns = [*question["messages"], {"role": "assistant", "content": [used.model_dump(exclude_none=True)]}]
        final = await asked.messages.create(**question | {"messages": [*turns, {"role": "user", "content": [result]}]})

    assert ("tool_use", "get_weather", ["city"]) == (answer.stop_reason, used.name, list(used.input))
    assert ("end_turn", "text") == (final.stop_reason, final.content[0].type)


async def test_a_stop_sequence_is_told():
    async with an_engine() as (_, client):
        body = asking("Hello", max_tokens=64)
        text = (await client.post(MESSAGES, json=body)).json()["content"][0]["text"]
        answer = (await client.post(MESSAGES, json=body | {"stop_sequences": [text[10:14]]})).json()

    assert ("stop_sequence", text[10:14]) == (answer["stop_reason"], answer["stop_sequence"])


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"max_tokens": None}, 400, "invalid_request_error"),
        ({"max_tokens": 0}, 400, "invalid_request_error"),
        ({"messages": "Hi"}, 400, "invalid_request_error"),
        ({"model": "unknown"}, 404, "not_found_error"),
        ({"tool_choice": {"type": "tool", "name": "unknown"}}, 400, "invalid_request_error"),
        ({"tool_choice": {"type": "tool"}}, 400, "invalid_request_error"),
    ],
)
async def test_errors_have_anthropics_shape(changes, status, kind):
    async with an_engine() as (_, client):
        answer = await client.post(MESSAGES, json=asking() | changes)

    assert (status, "error", kind) == (answer.status_code, answer.json()["type"], answer.json()["error"]["type"])


async def test_an_engine_that_dies_in_a_stream_ends_it_with_an_error_event():
    async with an_engine() as (_, client):
        await client.post("/sim/fault", json={"kind": "die_mid_stream", "after_tokens": 2})
        stream = named_events((await client.post(MESSAGES, json=asking(stream=True))).content)

    assert ("error", "api_error") == (stream[-1][0], stream[-1][1]["error"]["type"])
