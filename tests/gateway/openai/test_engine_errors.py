"""Errors inside answers with status 200: found in every shape, and blamed on whom they name."""

from typing import Any

import pytest

from gateway.openai.engine_errors import EngineError, error_in_answer, error_in_event

CALLER, ENGINE, UNSAID = EngineError.CALLER, EngineError.ENGINE, EngineError.UNSAID


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"message": "x", "type": "BadRequestError", "param": None, "code": 400}, CALLER),
        ({"message": "x", "code": 429}, CALLER),
        ({"message": "x", "code": "422"}, CALLER),
        ({"message": "x", "code": 500}, ENGINE),
        ({"message": "x", "code": 503.0}, ENGINE),
        ({"message": "x", "code": 501}, UNSAID),
        ({"message": "x", "code": -1}, UNSAID),
        ({"message": "x", "code": "context_length_exceeded"}, CALLER),
        ({"message": "x", "code": None, "type": "invalid_request_error"}, CALLER),
        ({"type": "not_found_error", "message": "x"}, CALLER),
        ({"type": "rate_limit_error", "message": "x"}, CALLER),
        ({"type": "overloaded_error", "message": "x"}, UNSAID),
        ({"type": "api_error", "message": "x"}, UNSAID),
        ({"type": "InternalServerError", "message": "x"}, ENGINE),
        ({"code": "server_error", "message": "x"}, ENGINE),
        ({"message": "x"}, UNSAID),
        ({"code": ["400"]}, UNSAID),
        ("text", UNSAID),
        (["text"], UNSAID),
        (True, UNSAID),
    ],
)
def test_an_error_blames_whom_its_code_or_type_names(error: object, fault: EngineError):
    assert fault == error_in_event({"error": error}) == error_in_answer({"error": error})


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({"type": "error", "error": {"type": "overloaded_error"}}, UNSAID),
        ({"type": "error", "code": None, "message": "x", "param": None}, UNSAID),
        ({"type": "error", "code": "server_error", "message": "x"}, ENGINE),
        ({"object": "error", "message": "x", "type": "BadRequestError", "code": 400}, CALLER),
        ({"message": "x", "code": 400}, CALLER),
        ({"code": 500}, ENGINE),
        ({"detail": "gone"}, UNSAID),
        ({"type": "response.failed", "response": {"status": "failed", "error": None}}, UNSAID),
        ({"type": "response.failed", "response": {"error": {"code": "invalid_prompt"}}}, CALLER),
    ],
)
def test_an_error_is_found_in_events_of_every_api(event: dict[str, Any], fault: EngineError):
    assert fault == error_in_event(event)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"error": None, "choices": []},
        {"code": 0, "message": "success", "choices": []},
        {"code": 200.0, "choices": []},
        {"code": "", "message": "", "choices": []},
        {"error": "", "status": "completed"},
        {"type": "message_start", "message": {"role": "assistant", "error": "x"}},
        {"type": "response.completed", "response": {"status": "incomplete", "error": None, "metadata": {"error": "x"}}},
        {"type": "response.code_interpreter_call_code.done", "code": "raise error"},
        {"choices": [{"delta": {"content": "x"}, "error": "x"}]},
        {"response": "text"},
    ],
)
def test_an_event_that_reports_no_error_has_none(event: dict[str, Any]):
    assert error_in_event(event) is None


@pytest.mark.parametrize("answer", [{"message": "x"}, {"code": 0}, {"detail": "high"}, {"type": "error"}])
def test_a_json_answer_may_have_members_that_only_an_event_has_for_an_error(answer: dict[str, Any]):
    assert error_in_answer(answer) is None


def test_a_json_answer_may_say_that_it_failed():
    assert UNSAID == error_in_answer({"object": "response", "status": "failed", "error": None})
    assert CALLER == error_in_answer({"object": "error", "code": 400})
