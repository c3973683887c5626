"""A lower maximum in the body of each API: engines read it, and nothing else changes."""

import orjson
import pytest

from gateway.openai.errors import BadRequestError
from gateway.openai.operations import Operation
from gateway.openai.output_limit import with_output_limit
from gateway.openai.request import InferenceRequest, parse_request

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]%b}'
COMPLETION = b'{"model":"m","prompt":["a","b"]%b}'
GENERATE = b'{"text":"hi"%b}'


def read(operation: Operation, body: bytes) -> InferenceRequest:
    return parse_request(operation, "", body)


@pytest.mark.parametrize(
    ("operation", "body", "more", "expected"),
    [
        (Operation.CHAT, CHAT, b"", {"max_tokens": 7}),
        (Operation.CHAT, CHAT, b',"max_tokens":9', {"max_tokens": 7}),
        (Operation.CHAT, CHAT, b',"max_tokens":null', {"max_tokens": 7}),
        (Operation.CHAT, CHAT, b',"max_completion_tokens":9', {"max_completion_tokens": 7}),
        (
            Operation.CHAT, CHAT, b',"max_tokens":9,"max_completion_tokens":8',
            {"max_tokens": 7, "max_completion_tokens": 7},
        ),
        (Operation.CHAT, CHAT, b',"max_tokens":9,"max_tokens" : 11 ', {"max_tokens": 7}),
        (Operation.COMPLETIONS, COMPLETION, b"", {"max_tokens": 7}),
        (Operation.RESPONSES, b'{"model":"m","input":"hi"%b}', b"", {"max_output_tokens": 7}),
        (Operation.MESSAGES, CHAT, b',"max_tokens":9', {"max_tokens": 7}),
        (Operation.GENERATE, GENERATE, b"", {"sampling_params": {"max_new_tokens": 7}}),
        (Operation.GENERATE, GENERATE, b',"sampling_params":null', {"sampling_params": {"max_new_tokens": 7}}),
        (
            Operation.GENERATE, GENERATE, b',"sampling_params":{"n":2,"max_new_tokens":9}',
            {"sampling_params": {"n": 2, "max_new_tokens": 7}},
        ),
        (
            Operation.GENERATE_TOKENS, b'{"token_ids":[1]%b}', b',"sampling_params":{}',
            {"sampling_params": {"max_tokens": 7}},
        ),
    ],
)  # fmt: skip
def test_the_maximum_is_set_where_each_api_has_it(operation: Operation, body: bytes, more: bytes, expected: object):
    body %= more
    request = read(operation, body)
    before = orjson.loads(body)
    assert request.can_be_limited

    after = orjson.loads(with_output_limit(body, request.output_limit(7)))

    assert {**before, **expected} == after  # type: ignore[dict-item]  # parametrised
    assert 7 == read(operation, orjson.dumps(after)).max_output_tokens


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        (Operation.CHAT, b',"max_\\u0074okens":9'),
        (Operation.CHAT, b',"max_tokens":5,"max\\u005Ftokens" :9'),
        (Operation.GENERATE, b',"sampling_param\\u0073":{"max_new_tokens":9}'),
        (Operation.CHAT, b',"max_tokens":9' + b',"x":"max_tokens"' * 1001),
    ],
)
def test_a_maximum_that_cannot_be_set_for_sure_is_refused(operation: Operation, more: bytes):
    body = (GENERATE if operation is Operation.GENERATE else CHAT) % more

    with pytest.raises(BadRequestError, match="cannot be limited"):
        with_output_limit(body, read(operation, body).output_limit(7))


def test_escapes_in_texts_are_no_keys():
    body = CHAT % b',"x":"\\"max_\\\\u0074okens\\":"'

    assert b'"max_tokens":7' in with_output_limit(body, read(Operation.CHAT, body).output_limit(7))


def test_parameters_in_a_list_cannot_be_limited_nor_can_recordings():
    assert not read(Operation.GENERATE, b'{"text":["a"],"sampling_params":[{"max_new_tokens":9}]}').can_be_limited
    assert read(Operation.EMBEDDINGS, b'{"model":"m","input":"a"}').can_be_limited


@pytest.mark.parametrize(("more", "choices"), [(b',"n":3', 6), (b',"n":2,"best_of":4', 8), (b',"best_of":null', 2)])
def test_every_sequence_that_is_generated_is_counted(more: bytes, choices: int):
    assert choices == read(Operation.COMPLETIONS, COMPLETION % more).choices
