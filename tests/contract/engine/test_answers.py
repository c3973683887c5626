"""Answers, streams and errors: what was recorded from vLLM 0.32.0 holds for every engine."""

from typing import Any

import pytest

from tests.support.engine_process import EngineProcess
from tests.support.shapes import Answer, read_recording, runs, shape
from tests.support.source_tree import ROOT
from tests.support.waiting import until

RECORDINGS = ROOT / "tests" / "simulator" / "recordings"
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
USAGE = {"include_usage": True}
EVERYWHERE = USAGE | {"continuous_usage_stats": True}


def recorded(name: str) -> Answer:
    return read_recording(RECORDINGS / f"{name}.http")


def a_chat(**changes: Any) -> dict[str, Any]:
    """Five tokens, whatever the model would rather do."""
    messages = [{"role": "user", "content": "Hello"}]
    return {"model": "tiny", "messages": messages, "max_tokens": 5, "ignore_eos": True} | changes


def ask(engine: EngineProcess, path: str, body: Any, **headers: str) -> Answer:
    answer = engine.client.post(path, json=body, headers=headers)
    return Answer(answer.status_code, dict(answer.headers), answer.content)


def told(answer: Answer) -> dict[str, str | None]:
    """The headers that an engine chooses."""
    return {name: answer.headers.get(name) for name in ("server", "content-type", "vary", "transfer-encoding", "allow")}


@pytest.mark.parametrize(
    ("recording", "path", "body"),
    [
        ("chat", CHAT, a_chat()),
        ("completion", COMPLETIONS, {"model": "tiny", "prompt": "Hello", "max_tokens": 5}),
        ("completion_n2_list", COMPLETIONS, {"model": "tiny", "prompt": ["a", "b"], "max_tokens": 2}),
        ("tokenize_chat", "/tokenize", a_chat(return_token_strs=True)),
        ("tokenize_prompt", "/tokenize", {"model": "tiny", "prompt": "Hello there"}),
    ],
)
def test_an_answer_has_the_recorded_status_headers_and_shape(
    engine: EngineProcess, recording: str, path: str, body: Any
) -> None:
    theirs, ours = recorded(recording), ask(engine, path, body)

    assert (theirs.status, told(theirs), shape(theirs.json)) == (ours.status, told(ours), shape(ours.json))
    assert int(ours.headers["content-length"]) == len(ours.body)


@pytest.mark.parametrize(
    ("recording", "path", "body"),
    [
        ("chat_stream", CHAT, a_chat(stream=True)),
        ("chat_stream_usage", CHAT, a_chat(stream=True, stream_options=USAGE)),
        ("chat_stream_cont_usage", CHAT, a_chat(stream=True, stream_options=EVERYWHERE)),
        ("completion_stream_usage", COMPLETIONS, {"prompt": "Hello", "stream": True, "stream_options": USAGE}),
    ],
)
def test_a_stream_has_the_recorded_headers_and_events(
    engine: EngineProcess, recording: str, path: str, body: Any
) -> None:
    theirs, ours = recorded(recording), ask(engine, path, body | {"ignore_eos": True})

    assert (theirs.status, told(theirs)) == (ours.status, told(ours))
    assert runs([shape(event) for event in theirs.events]) == runs([shape(event) for event in ours.events])


def test_two_choices_stream_the_recorded_events_each(engine: EngineProcess) -> None:
    def of_choice(answer: Answer, index: int) -> list[Any]:
        return [shape(e) for e in answer.events if e != "[DONE]" and e["choices"] and e["choices"][0]["index"] == index]

    theirs = recorded("chat_stream_n2")
    ours = ask(engine, CHAT, a_chat(n=2, max_tokens=2, stream=True, stream_options=USAGE))

    assert [of_choice(theirs, 0), of_choice(theirs, 1)] == [of_choice(ours, 0), of_choice(ours, 1)]
    assert [shape(event) for event in theirs.events[-2:]] == [shape(event) for event in ours.events[-2:]]
    assert 4 == ours.events[-2]["usage"]["completion_tokens"]


@pytest.mark.parametrize(
    ("recording", "body"),
    [
        ("err_unknown_model", a_chat(model="nope")),
        ("err_missing_messages", {"model": "tiny"}),
        ("err_bad_type", a_chat(max_tokens="many")),
        ("err_bad_max_tokens", a_chat(max_tokens=0)),
        ("err_bad_temperature", a_chat(temperature=-1)),
        ("err_stream_options_without_stream", a_chat(stream_options=USAGE)),
    ],
)
def test_a_bad_request_gets_the_recorded_error(engine: EngineProcess, recording: str, body: Any) -> None:
    theirs, ours = recorded(recording), ask(engine, CHAT, body)

    assert (theirs.status, told(theirs), shape(theirs.json)) == (ours.status, told(ours), shape(ours.json))
    assert [theirs.json["error"][key] for key in ("type", "code", "param")] == [
        ours.json["error"][key] for key in ("type", "code", "param")
    ]


def test_a_prompt_that_is_too_long_is_refused(engine: EngineProcess) -> None:
    theirs = recorded("err_too_long_prompt")
    ours = ask(engine, COMPLETIONS, {"model": "tiny", "prompt": [7] * 8193})

    assert (theirs.status, theirs.json["error"]["param"]) == (ours.status, ours.json["error"]["param"])


def test_usage_counts_the_tokens_that_were_asked_for(engine: EngineProcess) -> None:
    usage = ask(engine, COMPLETIONS, {"model": "tiny", "prompt": [7] * 100, "max_tokens": 9, "ignore_eos": True}).json
    counted = [usage["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]

    assert [100, 9, 109] == counted


def test_the_request_id_becomes_the_answers_id(engine: EngineProcess) -> None:
    ours = ask(engine, CHAT, a_chat(), **{"x-request-id": "abc-123"})

    assert recorded("chat_x_request_id").json["id"] == ours.json["id"]


def test_a_client_that_leaves_a_stream_frees_its_place(engine: EngineProcess) -> None:
    body = a_chat(stream=True, max_tokens=7000)
    with engine.client.stream("POST", CHAT, json=body) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        assert (1, 0) == engine.load()

    until(lambda: engine.load() == (0, 0))
