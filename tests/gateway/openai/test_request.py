import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.errors import BadRequestError
from gateway.openai.operations import Operation
from gateway.openai.request import parse_request

MESSAGES = [{"role": "user", "content": "hi"}]
NEEDED = {
    Operation.CHAT: {"messages": MESSAGES},
    Operation.COMPLETIONS: {"prompt": "hi"},
    Operation.RESPONSES: {"input": "hi"},
    Operation.MESSAGES: {"messages": MESSAGES},
    Operation.EMBEDDINGS: {"input": "hi"},
    Operation.CLASSIFY: {"input": "hi"},
    Operation.RERANK: {"query": "hi", "documents": ["a"]},
    Operation.SCORE: {"text_1": "hi", "text_2": "a"},
    Operation.IMAGES: {"prompt": "hi"},
}
STREAMING = [Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.MESSAGES]
QUIET = [Operation.EMBEDDINGS, Operation.CLASSIFY, Operation.RERANK, Operation.SCORE, Operation.IMAGES]
AUDIO = [Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS]
FORM = "multipart/form-data; boundary=b"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KNOWN_FIELDS = st.sampled_from([
    "model", "messages", "prompt", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "n", "temperature", "tools", "system", "instructions", "query", "documents", "text_1",
])  # fmt: skip


def parse(operation=Operation.CHAT, **fields):
    return parse_request(operation, "application/json", orjson.dumps({"model": "m", **NEEDED[operation], **fields}))


def refusal(operation, body, content_type="application/json"):
    with pytest.raises(BadRequestError) as refused:
        parse_request(operation, content_type, body)
    return refused.value


def refused_field(operation=Operation.CHAT, **fields):
    return refusal(operation, orjson.dumps({"model": "m", **NEEDED[operation], **fields})).param


def test_every_operation_with_a_body_is_tested_here():
    assert {*NEEDED, *AUDIO} == {operation for operation in Operation if operation.body is not None}


@pytest.mark.parametrize("operation", [Operation.MODELS, Operation.USAGE])
def test_an_operation_without_a_body_is_not_parsed(operation):
    with pytest.raises(ValueError, match=f"{operation.path} has no body"):
        parse_request(operation, "", b"{}")


@pytest.mark.parametrize("operation", NEEDED)
def test_every_operation_has_a_model_and_a_text(operation):
    request = parse(operation)

    assert (operation, "m", False, 1) == (request.operation, request.model, request.stream, request.choices)
    assert b"hi" in request.prompt_text()
    assert (len(request.prompt_text()), 0) == (request.prompt_bytes, request.prompt_token_ids)


@pytest.mark.parametrize("operation", NEEDED)
@pytest.mark.parametrize("model", [None, "", 3, ["m"]])
def test_every_operation_needs_a_model(operation, model):
    assert "model" == refused_field(operation, model=model)


@pytest.mark.parametrize(
    ("operation", "field"),
    [(operation, field) for operation, fields in NEEDED.items() if operation != Operation.SCORE for field in fields],
)
def test_a_missing_field_is_named(operation, field):
    assert field == refused_field(operation, **{field: None})


@pytest.mark.parametrize("operation", STREAMING)
def test_generating_operations_stream_when_asked(operation):
    assert parse(operation, stream=True).stream
    assert not parse(operation, stream=None).stream
    assert "stream" == refused_field(operation, stream="yes")


@pytest.mark.parametrize("operation", QUIET)
def test_other_operations_generate_nothing_and_leave_unknown_fields_alone(operation):
    request = parse(operation, stream="yes", max_tokens="many", stream_options=3, temperature="hot")

    assert (False, 0, False) == (request.stream, request.max_output_tokens, request.wants_usage)


@pytest.mark.parametrize(
    ("operation", "fields", "maximum"),
    [
        (Operation.CHAT, {}, None),
        (Operation.CHAT, {"max_tokens": 5}, 5),
        (Operation.CHAT, {"max_tokens": 5, "max_completion_tokens": 7}, 7),
        (Operation.CHAT, {"max_tokens": 5, "max_completion_tokens": None}, 5),
        (Operation.CHAT, {"max_output_tokens": 5}, None),
        (Operation.COMPLETIONS, {}, 16),
        (Operation.COMPLETIONS, {"max_tokens": 5}, 5),
        (Operation.COMPLETIONS, {"max_tokens": 0, "echo": True}, 0),
        (Operation.RESPONSES, {"max_output_tokens": 5, "max_tokens": 9}, 5),
        (Operation.MESSAGES, {"max_tokens": 5}, 5),
    ],
)
def test_the_output_is_bounded_by_the_strongest_field(operation, fields, maximum):
    assert maximum == parse(operation, **fields).max_output_tokens


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", [5], {}, 2**31, 2**64 - 1])
def test_counts_are_positive_integers(field, value):
    assert field == refused_field(**{field: value})


def test_the_weaker_bound_is_checked_too():
    assert "max_tokens" == refused_field(max_tokens="many", max_completion_tokens=5)


def test_a_number_beyond_64_bits_is_refused():
    body = b'{"model":"m","messages":[{"role":"user"}],"max_tokens":123456789012345678901234567890}'

    assert "max_tokens" == refusal(Operation.CHAT, body).param


@pytest.mark.parametrize("field", ["temperature", "top_p"])
def test_sampling_fields_are_numbers(field):
    parse(**{field: 0})
    assert field == refused_field(**{field: "0"})
    assert field == refused_field(**{field: True})


@pytest.mark.parametrize(
    ("operation", "fields", "choices"),
    [
        (Operation.CHAT, {"n": 3}, 3),
        (Operation.CHAT, {"n": None}, 1),
        (Operation.COMPLETIONS, {"n": 2, "prompt": ["a", "b", "c"]}, 6),
        (Operation.COMPLETIONS, {"prompt": [1, 2, 3]}, 1),
        (Operation.COMPLETIONS, {"prompt": [[1], [2]]}, 2),
        (Operation.IMAGES, {"n": 4}, 4),
        (Operation.RESPONSES, {"n": "ignored"}, 1),
    ],
)
def test_choices_are_n_for_each_prompt_of_a_batch(operation, fields, choices):
    assert choices == parse(operation, **fields).choices


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": None}, False),
        ({"include_usage": False}, False),
        ({"include_usage": True}, True),
    ],
)
@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.COMPLETIONS])
def test_a_client_may_ask_for_usage(operation, options, wanted):
    request = parse(operation, stream=True, stream_options=options)

    assert (wanted, True) == (request.wants_usage, request.has_stream_options)


def test_stream_options_are_an_object_of_a_stream():
    assert "stream_options" == refused_field(stream=True, stream_options=[])
    assert "stream_options" == refused_field(stream_options={"include_usage": True})
    assert "stream_options.include_usage" == refused_field(stream=True, stream_options={"include_usage": "yes"})
    assert not parse(stream_options=None).wants_usage


def test_token_ids_are_counted():
    request = parse(Operation.EMBEDDINGS, input=[[1, 2], [3]])

    assert (0, 3, 12) == (request.prompt_bytes, request.prompt_token_ids, len(request.prompt_text()))


def test_fields_that_only_engines_know_pass():
    request = parse(guided_json={"a": [1]}, seed=-1, stop=3, chat_template_kwargs={"thinking": True})

    assert "m" == request.model


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "application/json; charset=utf-8", "Application/JSON ;charset=utf-8", " application/json"],
)
def test_json_is_accepted_with_parameters_and_without_a_content_type(content_type):
    assert "m" == parse_request(Operation.CHAT, content_type, orjson.dumps({"model": "m", "messages": MESSAGES})).model


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", FORM])
def test_another_content_type_is_refused(content_type):
    assert "content-type must be application/json" == refusal(Operation.CHAT, b"{}", content_type).message


@pytest.mark.parametrize("operation", [*NEEDED, *AUDIO])
def test_an_empty_body_is_refused(operation):
    assert "body is empty" == refusal(operation, b"").message


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"{'a':1}",
        b'{"model":"m","messages":NaN}',
        b'{"model":"\xff"}',
        b'{"model":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b'{"a":' * 5000,
        b"[" * 50_000,
        '{"model":"m"}'.encode("utf-16"),
        b'{"model":1e400}',
    ],
)
def test_what_is_not_json_is_refused_without_repeating_it(body):
    error = refusal(Operation.CHAT, body)

    assert error.message.startswith("body is not JSON: ")
    assert error.__cause__ is None
    assert len(error.message) < 200


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"model"', b"true"])
def test_json_that_is_not_an_object_is_refused(body):
    assert "body must be a JSON object" == refusal(Operation.CHAT, body).message


def test_the_last_of_a_repeated_key_counts():
    assert "b" == parse_request(Operation.COMPLETIONS, "", b'{"model":"a","prompt":"x","model":"b"}').model


@pytest.mark.parametrize("operation", AUDIO)
def test_audio_comes_as_a_form(operation):
    parts = {"file": "RIFF", "model": "whisper", "prompt": "Names: Bo", "stream": "true"}
    body = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in parts.items())

    request = parse_request(operation, FORM, (body + "--b--").encode())

    assert ("whisper", True, None, 1) == (request.model, request.stream, request.max_output_tokens, request.choices)
    assert b"Names: Bo" == request.prompt_text()
    assert "must be multipart/form-data with a boundary" in refusal(operation, b"{}").message


@given(st.sampled_from([*NEEDED]), st.dictionaries(KNOWN_FIELDS, JSON))
def test_any_values_are_understood_or_refused(operation, fields):
    try:
        request = parse(operation, **fields)
    except BadRequestError as error:
        assert error.param is not None
        return
    assert isinstance(request.prompt_text(), bytes)
    assert request.choices >= 1


@given(st.sampled_from([*NEEDED]), st.binary() | st.text().map(str.encode))
def test_any_bytes_are_refused(operation, body):
    with pytest.raises(BadRequestError):
        parse_request(operation, "application/json", body)


@pytest.mark.parametrize(("salt", "read"), [("s", "s"), ("", ""), (None, ""), (3, ""), (["s"], "")])
def test_a_cache_salt_is_text_and_anything_else_is_the_engines_business(salt, read):
    assert read == parse(cache_salt=salt).cache_salt
