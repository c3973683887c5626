"""The core flow of client libraries: each works unchanged with a base URL and a key."""

import json

from tests.clients.conftest import Flow
from tests.support.stack import Stack
from tests.support.waiting import until


def test_a_chat_has_text_and_usage(flow: Flow) -> None:
    assert flow.told["chat"]["text"]
    assert 9 == flow.told["chat"]["output_tokens"]


def test_the_loop_over_a_stream_that_everybody_writes_works(flow: Flow) -> None:
    assert "".join(piece or "" for piece in flow.told["stream"])
    assert len([piece for piece in flow.told["stream"] if piece]) > 5


def test_a_tool_is_called_and_its_result_is_answered(flow: Flow) -> None:
    told = flow.told["tool"]
    arguments = told["arguments"] if isinstance(told["arguments"], dict) else json.loads(told["arguments"])

    assert ("get_weather", ["city"]) == (told["name"], list(arguments))
    assert told["text"]


def test_a_refusal_that_passes_is_waited_for_and_then_answered(flow: Flow) -> None:
    assert [True] * 3 == [bool(text) for text in flow.told["retried"]]
    assert flow.refusals["rps"] >= 1


def test_a_refusal_that_does_not_pass_is_told_once(flow: Flow) -> None:
    assert 429 == flow.told["refused_for_ever"]
    assert 1 == flow.refusals["tpm"]


def test_a_wrong_key_is_an_authentication_error_and_not_tried_again(flow: Flow) -> None:
    assert 401 == flow.told["wrong_key"]
    assert 1 == flow.refusals["invalid_key"]


def test_a_stream_that_is_cancelled_leaves_nothing(flow: Flow, stack: Stack) -> None:
    assert 3 == flow.told["cancelled"]
    running = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    until(lambda: 0 == stack.in_flight() + sum(map(stack.engine_figure, running)))


def test_anthropics_api_takes_its_own_header_and_refuses_in_its_own_shape(flow: Flow) -> None:
    told = {name: flow.told[name] for name in ("by_anthropics_route", "error_type") if name in flow.told}

    assert flow.client not in {"anthropic", "litellm"} or all(told.values())
    assert told.get("error_type", ["error", "not_found_error"]) == ["error", "not_found_error"]
