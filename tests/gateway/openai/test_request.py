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
    Operation.BATCH_CHAT: {"messages": [MESSAGES, MESSAGES]},
    Operation.EMBED: {"texts": ["hi"]},
    Operation.POOLING: {"input": "hi"},
    Operation.CLASSIFY_AT_ROOT: {"text": "hi"},
    Operation.ENCODE: {"text": "hi"},
    Operation.RERANK_V2: {"query": "hi", "documents": ["a"]},
    Operation.RERANK_AT_ROOT: {"query": "hi", "documents": ["a"]},
    Operation.SCORE_AT_ROOT: {"text_1": "hi", "text_2": "a"},
    Operation.GENERATIVE_SCORING: {"query": "hi", "items": ["a"]},
    Operation.SPEECH: {"input": "hi"},
    Operation.GENERATE: {"text": "hi"},
    Operation.INVOCATIONS: {"messages": MESSAGES},
}
IDS = {Operation.GENERATE_TOKENS: {"token_ids": [1, 2]}}
FREE = [operation for operation in Operation if operation.body is not None and operation.body.is_free]
STORED = [operation for operation in FREE if operation.body.is_stored]
STREAMING = [
    Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.MESSAGES, Operation.GENERATE,
    Operation.INVOCATIONS, Operation.SPEECH,
]  # fmt: skip
QUIET = [Operation.EMBEDDINGS, Operation.CLASSIFY, Operation.RERANK, Operation.SCORE, Operation.IMAGES,
         Operation.POOLING, Operation.EMBED, Operation.ENCODE]  # fmt: skip
FORMS = [Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS, Operation.IMAGE_EDITS]
AUDIO = FORMS[:2]
MODEL_OPTIONAL = [operation for operation in NEEDED if not operation.body.needs_model]
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
    assert {*NEEDED, *IDS, *FREE, *FORMS} == {operation for operation in Operation if operation.body is not None}


@pytest.mark.parametrize("operation", [operation for operation in Operation if operation.body is None])
def test_an_operation_without_a_body_is_not_parsed(operation):
    with pytest.raises(ValueError, match=f"{operation.path} has no body"):
        parse_request(operation, "", b"{}")


@pytest.mark.parametrize("operation", NEEDED)
def test_every_operation_has_a_model_and_a_text(operation):
    request = parse(operation)

    choices = 2 if operation is Operation.BATCH_CHAT else 1
    assert (operation, "m", False, choices) == (request.operation, request.model, request.stream, request.choices)
    assert b"hi" in request.prompt_text()
    assert (len(request.prompt_text()), 0) == (request.prompt_bytes, request.prompt_token_ids)


@pytest.mark.parametrize("operation", NEEDED)
@pytest.mark.parametrize("model", [None, "", 3, ["m"]])
def test_a_model_is_a_name_and_may_be_missing_only_where_engines_do_not_ask_for_it(operation, model):
    if model is None and operation in MODEL_OPTIONAL:
        assert "" == parse(operation, model=None).model
    else:
        assert "model" == refused_field(operation, model=model)


@pytest.mark.parametrize("operation", [operation for operation in FREE if operation not in STORED])
def test_what_needs_no_gpu_has_no_prompt_and_is_free(operation):
    request = parse_request(operation, "", b'{"model":"m","prompt":"hi","messages":3,"stream":true,"max_tokens":9}')

    assert (True, "m", b"", 0) == (request.is_free, request.model, request.prompt_text(), request.max_output_tokens)
    assert (False, False) == (request.stream, request.needs_earlier)


@pytest.mark.parametrize("operation", STORED)
@pytest.mark.parametrize("body", [b"", b"{}", b"\xff"])
def test_a_stored_answer_is_asked_for_without_a_body_or_with_any(operation, body):
    request = parse_request(operation, "", body)

    assert (True, True, "", b"") == (request.is_free, request.needs_earlier, request.model, request.prompt_text())


@pytest.mark.parametrize(("earlier", "needed"), [("resp_1", True), (None, False), ("", False)])
def test_a_response_that_goes_on_from_an_earlier_one_needs_that(earlier, needed):
    assert needed == parse(Operation.RESPONSES, previous_response_id=earlier).needs_earlier
    assert not parse(previous_response_id=earlier).needs_earlier


@pytest.mark.parametrize(
    ("operation", "fields", "text", "ids", "count"),
    [
        (Operation.GENERATE, {"text": ["a", "b"]}, b"a\nb", 0, 2),
        (Operation.GENERATE, {"input_ids": [1, 2, 3]}, b"", 3, 1),
        (Operation.GENERATE, {"input_ids": [[1], [2, 3]]}, b"", 3, 2),
        (Operation.GENERATE, {"input_embeds": [[0.5]]}, b"", 0, 1),
        (Operation.GENERATE_TOKENS, {"token_ids": [1, 2]}, b"", 2, 1),
        (Operation.EMBED, {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}, None, 0, 1),
        (Operation.EMBED, {"images": ["data:"]}, None, 0, 1),
        (Operation.POOLING, {"messages": MESSAGES}, b"user\nhi", 0, 1),
        (Operation.POOLING, {"data": {"any": "thing"}}, b"", 0, 1),
        (Operation.SCORE, {"query": [1, 2], "items": [[3], [4, 5]]}, b"", 5, 1),
        (Operation.GENERATIVE_SCORING, {"query": "a", "items": [[3]]}, b"a", 1, 1),
        (Operation.INVOCATIONS, {"prompt": "a"}, b"a", 0, 1),
        (Operation.INVOCATIONS, {"input": ["a", "b"]}, b"a\nb", 0, 2),
        (Operation.INVOCATIONS, {"query": "a", "documents": ["b"]}, b"a", 0, 1),
        (Operation.BATCH_CHAT, {"messages": [MESSAGES, MESSAGES]}, b"user\nhi\nuser\nhi", 0, 2),
    ],
)
def test_prompts_are_found_under_the_engines_own_names(operation, fields, text, ids, count):
    request = parse_request(operation, "", orjson.dumps({"model": "m", **fields}))

    assert text is None or request.prompt.text.encode() == text
    assert (ids, count) == (request.prompt_token_ids, request.prompt.count)


@pytest.mark.parametrize("messages", [None, [], [[]], MESSAGES, [MESSAGES] * 2049, [MESSAGES * 4096] * 3])
def test_a_batch_of_conversations_is_bounded_lists_of_messages(messages):
    assert refused_field(Operation.BATCH_CHAT, messages=messages).startswith("messages")


@pytest.mark.parametrize(
    ("operation", "parameters", "maximum", "choices"),
    [
        (Operation.GENERATE, None, 128, 1),
        (Operation.GENERATE, {"max_new_tokens": 5, "n": 2}, 5, 2),
        (Operation.GENERATE, [{"max_new_tokens": 5}], 128, 1),
        (Operation.GENERATE_TOKENS, {"max_tokens": 5}, 5, 1),
        (Operation.GENERATE_TOKENS, {}, 16, 1),
    ],
)
def test_engines_own_apis_bound_the_output_in_the_sampling_parameters(operation, parameters, maximum, choices):
    body = {"text": "a", "token_ids": [1], "sampling_params": parameters, "max_tokens": 7, "n": 9}
    request = parse_request(operation, "", orjson.dumps(body))

    assert (maximum, choices) == (request.max_output_tokens, request.choices)


OPENAI = [operation for operation in Operation if operation.value.path.startswith("/v1/") and operation in NEEDED]


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (operation, field)
        for operation in OPENAI
        if operation not in (Operation.SCORE, Operation.SPEECH)
        for field in NEEDED[operation]
    ],
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


@pytest.mark.parametrize("options", [{}, None, {"include_usage": True}, {"include_usage": None}, [], 3])
@pytest.mark.parametrize("stream", [False, None])
def test_without_a_stream_the_engine_judges_stream_options(options, stream):
    assert not parse(stream_options=options, stream=stream).wants_usage


def test_stream_options_of_a_stream_are_an_object():
    assert "stream_options" == refused_field(stream=True, stream_options=[])
    assert "stream_options.include_usage" == refused_field(stream=True, stream_options={"include_usage": "yes"})


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


@pytest.mark.parametrize("operation", [*NEEDED, *FORMS])
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


def test_pictures_are_edited_by_a_form_with_parts_that_the_engine_judges():
    body = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    parts = b"".join(body % part for part in [(b"image[]", b"PNG"), (b"model", b"painter"), (b"prompt", b"a cat")])

    request = parse_request(Operation.IMAGE_EDITS, FORM, parts + b"--b--")

    assert ("painter", b"a cat", 0) == (request.model, request.prompt_text(), request.max_output_tokens)


@given(st.sampled_from([*NEEDED]), st.dictionaries(KNOWN_FIELDS, JSON))
def test_any_values_are_understood_or_refused(operation, fields):
    try:
        request = parse(operation, **fields)
    except BadRequestError as error:
        assert error.param is not None
        return
    assert isinstance(request.prompt_text(), bytes)
    assert request.choices >= 1


@given(
    st.sampled_from([*NEEDED]),
    (st.binary() | st.text().map(str.encode)).filter(lambda body: body.strip() != b"{}"),  # which some engines take
)
def test_any_bytes_are_refused(operation, body):
    with pytest.raises(BadRequestError):
        parse_request(operation, "application/json", body)


@pytest.mark.parametrize(("salt", "read"), [("s", "s"), ("", ""), (None, ""), (3, ""), (["s"], "")])
def test_a_cache_salt_is_text_and_anything_else_is_the_engines_business(salt, read):
    assert read == parse(cache_salt=salt).cache_salt
