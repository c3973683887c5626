from pathlib import Path

import pytest

from simulator.openai.errors import ApiError
from simulator.openai.requests import chat_request, completion_request
from simulator.openai.tokens import encode, encode_ids
from tests.support.engines import a_chat, a_profile
from tests.support.shapes import read_recording

RECORDINGS = Path(__file__).parents[1] / "recordings"
PROFILE = a_profile(adapters=("ad1",))
HELLO = [{"role": "user", "content": "Hello"}]


def refusal(read, body):
    with pytest.raises(ApiError) as caught:
        read(body, PROFILE)
    return caught.value


@pytest.mark.parametrize(
    ("recording", "body"),
    [
        ("err_unknown_model", a_chat(model="nope")),
        ("err_missing_messages", {"model": "tiny"}),
        ("err_bad_type", a_chat(max_tokens="many")),
        ("err_bad_max_tokens", a_chat(max_tokens=0)),
        ("err_max_tokens_too_big", a_chat(max_tokens=9000)),
        ("err_bad_temperature", a_chat(temperature=-1)),
        ("err_stream_options_without_stream", a_chat(stream_options={"include_usage": True})),
    ],
)
def test_a_bad_chat_is_refused_as_recorded(recording, body):
    recorded, error = read_recording(RECORDINGS / f"{recording}.http"), refusal(chat_request, body)

    assert (recorded.status, recorded.json) == (error.status, error.body)


def test_a_prompt_over_the_context_is_refused_as_recorded():
    recorded = read_recording(RECORDINGS / "err_too_long_prompt.http")

    assert recorded.json == refusal(completion_request, {"prompt": [7] * 8193}).body


def test_a_prompt_that_leaves_too_few_output_tokens_is_refused():
    error = refusal(completion_request, {"prompt": [7] * 8000, "max_tokens": 200})

    assert (400, "input_tokens") == (error.status, error.param)
    assert "8200 tokens" in error.message


@pytest.mark.parametrize("body", [[], "text", 3, None])
def test_json_that_is_not_an_object_is_refused(body):
    error = refusal(chat_request, body)

    assert (400, "body") == (error.status, error.param)


@pytest.mark.parametrize(
    ("field", "value"),
    [("messages", "hi"), ("messages", [{"content": "no role"}]), ("n", 0), ("stream", "perhaps"), ("stop", 3)],
)
def test_a_wrong_field_is_named(field, value):
    error = refusal(chat_request, a_chat(**{field: value}))

    assert 400 == error.status
    assert error.param is not None
    assert error.param.removeprefix("body.").startswith(field)


def test_a_missing_model_and_an_adapter_are_served():
    assert "tiny" == chat_request({"messages": HELLO}, PROFILE).model
    assert "ad1" == chat_request(a_chat(model="ad1"), PROFILE).model


def test_max_completion_tokens_beats_max_tokens():
    assert (9,) == chat_request(a_chat(max_tokens=5, max_completion_tokens=9), PROFILE).limits


def test_a_chat_without_a_maximum_may_fill_the_context_and_ends_by_itself():
    request = chat_request({"messages": HELLO}, PROFILE)

    assert (8192 - request.prompt_tokens,) == request.limits
    assert request.natural_end


def test_a_completion_without_a_maximum_gets_sixteen_tokens():
    assert (16,) == completion_request({"prompt": "Hello"}, PROFILE).limits


@pytest.mark.parametrize(
    ("prompt", "encoded"),
    [
        ("Hello", (encode("Hello"),)),
        (["Hello", "you"], (encode("Hello"), encode("you"))),
        ([1, 2, 3], (encode_ids([1, 2, 3]),)),
        ([[1, 2], [3]], (encode_ids([1, 2]), encode_ids([3]))),
    ],
)
def test_a_prompt_may_be_text_or_token_ids_one_or_several(prompt, encoded):
    assert encoded == completion_request({"prompt": prompt}, PROFILE).prompts


def test_continuous_usage_needs_include_usage():
    def usage(**options):
        request = chat_request(a_chat(stream=True, stream_options=options), PROFILE)
        return request.usage_chunk, request.usage_everywhere

    assert (True, True) == usage(include_usage=True, continuous_usage_stats=True)
    assert (False, False) == usage(continuous_usage_stats=True)
    assert (True, False) == usage(include_usage=True)


def test_stop_may_be_one_string_or_several():
    assert ("a",) == chat_request(a_chat(stop="a"), PROFILE).stop
    assert ("a", "b") == chat_request(a_chat(stop=["a", "b"]), PROFILE).stop
