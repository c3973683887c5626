from pathlib import Path

import pytest

from simulator.openai import responses
from simulator.openai.errors import DeadEngineError
from simulator.openai.responses import ChatShape, CompletionShape, Usage
from simulator.openai.tokens import encode
from simulator.openai.writing import Composition
from tests.support.engines import a_profile
from tests.support.shapes import events, read_recording, shape

RECORDINGS = Path(__file__).parents[1] / "recordings"
OUTPUT = Composition((" one", ' "two"', "\n水"), "length")


def recorded(name):
    return read_recording(RECORDINGS / f"{name}.http")


@pytest.mark.parametrize(
    ("kind", "recording", "outputs"),
    [
        (ChatShape, "chat", [OUTPUT]),
        (CompletionShape, "completion", [OUTPUT]),
        (CompletionShape, "completion_n2_list", [OUTPUT, OUTPUT]),
    ],
)
def test_a_whole_answer_has_the_recorded_shape(kind, recording, outputs):
    body = kind("1", 5, "tiny").whole(outputs, Usage(6, 5))

    assert shape(recorded(recording).json) == shape(responses.orjson.loads(body))


def test_the_error_in_a_stream_is_the_recorded_one_byte_for_byte():
    died = recorded("chat_stream_engine_died").body

    assert died.endswith(responses.error_event(DeadEngineError().body) + responses.DONE)


@pytest.mark.parametrize("kind", [ChatShape, CompletionShape])
def test_text_that_needs_escaping_survives(kind):
    shaped = kind("1", 5, "tiny")
    (event,) = events(shaped.piece(0, ' "a"\n水🌊\\', None))

    choice = event["choices"][0]

    assert ' "a"\n水🌊\\' == choice.get("text", choice.get("delta", {}).get("content"))


def test_the_fingerprint_stands_once_in_a_stream():
    shaped = ChatShape("1", 5, "tiny")

    without_usage = shaped.ending(0, "x", OUTPUT, None, is_last=True)
    with_usage = shaped.ending(0, "x", OUTPUT, None, is_last=False)

    assert "system_fingerprint" in events(without_usage)[0]
    assert "system_fingerprint" not in events(with_usage)[0]
    assert "system_fingerprint" in events(shaped.usage_event(Usage(1, 2)))[0]


@pytest.mark.parametrize(("adapters", "recording"), [((), "get_models"), (("ad1", "ad2"), "lora_models")])
def test_models_have_the_recorded_shape_and_parents(adapters, recording):
    profile, ids = a_profile(adapters=adapters), ["1", "2", "3"][: len(adapters) + 1]
    body = responses.models(profile, 5, ids, {name: name for name in adapters})
    ours, theirs = responses.orjson.loads(body), recorded(recording).json

    assert [shape(card) for card in theirs["data"]] == [shape(card) for card in ours["data"]]
    assert [(c["id"], c["root"], c["parent"]) for c in theirs["data"]] == [
        (c["id"], c["root"], c["parent"]) for c in ours["data"]
    ]


@pytest.mark.parametrize(("recording", "with_texts"), [("tokenize_chat", True), ("tokenize_prompt", False)])
def test_tokenize_has_the_recorded_shape(recording, with_texts):
    body = responses.tokenized(encode("Hello"), 8192, with_texts=with_texts)

    assert shape(recorded(recording).json) == shape(responses.orjson.loads(body))


def test_usage_adds_up():
    assert {"prompt_tokens": 6, "total_tokens": 11, "completion_tokens": 5} == Usage(6, 5).short
