"""Functions that the simulated engine calls, asked as clients ask."""

import json

import pytest
from jsonschema import Draft202012Validator

from tests.support.engines import an_engine, asking, choice_of
from tests.support.shapes import events, shape
from tests.support.tool_calls import RECORDED_CALLS, WEATHER, a_tool

CHAT = "/v1/chat/completions"
TIME = a_tool("current_time", zone={"type": "string"})


def names(choice):
    return [call["function"]["name"] for call in choice["message"].get("tool_calls", ())]


@pytest.mark.parametrize(
    ("changes", "called", "finish"),
    [
        ({}, ["get_weather"], "tool_calls"),
        ({"tool_choice": "auto"}, ["get_weather"], "tool_calls"),
        ({"tool_choice": "required"}, ["get_weather"], "tool_calls"),
        ({"tool_choice": "none"}, [], "stop"),
        ({"tool_choice": {"type": "function", "function": {"name": "current_time"}}}, ["current_time"], "stop"),
        ({"max_tokens": 3}, ["get_weather"], "length"),
    ],
)
async def test_functions_are_called_as_the_choice_says(changes, called, finish):
    async with an_engine() as (_, client):
        choice = await choice_of(client, asking("The weather in Paris?", tools=[TIME, WEATHER], **changes))

    assert (called, finish) == (names(choice), choice["finish_reason"])
    assert (choice["message"]["content"] is None) is bool(called)


async def test_several_are_called_at_once_unless_that_is_not_wanted():
    body = asking("Tell me time and weather.", tools=[TIME, WEATHER])
    async with an_engine() as (_, client):
        both = await choice_of(client, body)
        one = await choice_of(client, body | {"parallel_tool_calls": False})

    assert (["current_time", "get_weather"], ["current_time"]) == (names(both), names(one))
    assert 2 == len({call["id"] for call in both["message"]["tool_calls"]})


async def test_arguments_are_valid_for_their_schema_and_the_same_each_time():
    async with an_engine() as (_, client):
        choices = [await choice_of(client, asking("Weather?", tools=[WEATHER])) for _ in range(2)]

    first, second = (choice["message"]["tool_calls"][0]["function"]["arguments"] for choice in choices)
    Draft202012Validator(WEATHER["function"]["parameters"]).validate(json.loads(first))
    assert first == second


async def test_a_result_is_answered_with_text():
    async with an_engine() as (_, client):
        question = asking("Weather?", tools=[WEATHER])
        message = (await choice_of(client, question))["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"}
        answer = await choice_of(client, question | {"messages": [*question["messages"], message, result]})

    assert ("stop", True) == (answer["finish_reason"], bool(answer["message"]["content"]))


async def test_a_stream_of_calls_has_the_recorded_shape_and_says_the_same_as_the_whole_answer():
    body = asking("Time and weather?", tools=[TIME, WEATHER], tool_choice="required")
    options = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    async with an_engine() as (_, client):
        whole = (await client.post(CHAT, json=body)).json()
        stream = events((await client.post(CHAT, json=body | options)).content)

    assert {repr(shape(event)) for event in RECORDED_CALLS} == {repr(shape(event)) for event in stream}
    told: dict[int, dict] = {}
    for event in stream[:-1]:
        for call in event["choices"][0]["delta"].get("tool_calls", ()) if event["choices"] else ():
            known = told.setdefault(call["index"], {"id": call.get("id"), "name": "", "arguments": ""})
            known["name"] += call["function"].get("name", "")
            known["arguments"] += call["function"].get("arguments", "")
    expected = [{"id": call["id"], **call["function"]} for call in whole["choices"][0]["message"]["tool_calls"]]
    assert [each["name"] for each in expected] == [call["name"] for call in told.values()]
    assert [each["arguments"] for each in expected] == [call["arguments"] for call in told.values()]
    assert whole["usage"]["completion_tokens"] == stream[-2]["usage"]["completion_tokens"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "unknown"}}},
        {"tools": [WEATHER], "tool_choice": "sometimes"},
        {"tools": [WEATHER], "tool_choice": {"type": "function"}},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "function": {}}]},
        {"tools": [a_tool("f", x={"$ref": "#/nowhere"})], "tool_choice": "required"},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "picture"}}}},
        {"guided_regex": "("},
        {"guided_grammar": "root ::= x"},
        {"guided_json": "{"},
        {"top_logprobs": 2},
        {"logprobs": True, "top_logprobs": 21},
    ],
    ids=str,
)
async def test_what_cannot_be_done_is_refused_plainly(changes):
    async with an_engine() as (_, client):
        answer = await client.post(CHAT, json=asking("Hi", **changes))

    assert 400 == answer.status_code
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("changes", [{"echo": True}, {"suffix": "end"}, {"prompt_logprobs": 1}], ids=str)
async def test_what_only_real_engines_do_is_said_to_be_missing(changes):
    async with an_engine() as (_, client):
        answer = await client.post("/v1/completions", json={"model": "tiny", "prompt": "Hi"} | changes)

    assert 501 == answer.status_code
    assert next(iter(changes)) in answer.json()["error"]["message"]


async def test_every_choice_and_stop_string_applies_to_free_text():
    async with an_engine() as (_, client):
        answer = (await client.post(CHAT, json=asking("Hi", n=3, max_tokens=50, stop=[" wheel"]))).json()

    assert [0, 1, 2] == [choice["index"] for choice in answer["choices"]]
    assert not any(" wheel" in choice["message"]["content"] for choice in answer["choices"])
    assert any(choice["stop_reason"] == " wheel" for choice in answer["choices"])
