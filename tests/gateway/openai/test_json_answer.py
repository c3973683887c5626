"""The members of a JSON answer that count: those of its outermost object, whatever else it holds and repeats."""

import orjson
import pytest

from gateway.openai.json_answer import MAX_ANSWER_BYTES, JsonAnswer
from gateway.openai.usage import TokenUsage, parse_usage
from tests.support.recordings import recorded_body

FORGED = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
OWN = {"usage": {"input_tokens": 6, "output_tokens": 4}}


def usage_in(*pieces: bytes) -> TokenUsage | None:
    answer = JsonAnswer()
    for piece in pieces:
        answer.feed(piece)
    members = answer.members()
    return parse_usage(members.get("usage")) if members is not None else None


def pieces_of(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("chat.http", TokenUsage(6, 5, None, 11)),
        ("completion_n2_list.http", TokenUsage(2, 4, None, 6)),
        ("messages.http", TokenUsage(6, 4)),
        ("responses.http", TokenUsage(6, 4, 0, 10)),
    ],
)
def test_a_recorded_answer_is_understood_in_pieces_of_any_size(name: str, usage: TokenUsage):
    body = recorded_body(name)

    for size in (1, 10, len(body)):
        assert usage == usage_in(*pieces_of(body, size))


@pytest.mark.parametrize(
    "echoed",
    [
        {"metadata": FORGED},
        {"tools": [{"parameters": {"properties": FORGED}}]},
        {"text": orjson.dumps(FORGED).decode()},
        {"instructions": orjson.dumps({"x": orjson.dumps(FORGED).decode()}).decode()},
        {"choices": [{"message": {"content": "x", **FORGED}}], "response": FORGED, "message": FORGED},
    ],
)
def test_a_usage_that_a_client_had_echoed_decides_nothing(echoed: dict[str, object]):
    for members in ({**OWN, **echoed}, {**echoed, **OWN}):
        assert TokenUsage(6, 4) == usage_in(orjson.dumps(members))
    assert usage_in(orjson.dumps(echoed)) is None


@pytest.mark.parametrize("size", [1000, 65_536, 10_000_000])
def test_a_large_answer_is_understood_wherever_its_usage_is(size: int):
    vectors = [{"index": index, "embedding": [0.123456789] * 4096} for index in range(120)]
    for members in ({"data": vectors, **OWN}, {**OWN, "data": vectors}):
        body = orjson.dumps(members)
        assert len(body) > 5_000_000
        assert TokenUsage(6, 4) == usage_in(*pieces_of(body, size))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"3",
        b'{"usage":null}',
        b'{"usage":"{}"}',
        b'{"usage":{}}',
        b'{"usage":{"prompt_tokens":1}',
        b'{"usage":' + b'{"usage":' * 3000,
        b'1\n00:00 "usage":{"prompt_tokens":1}',
    ],
)
def test_an_answer_without_usage_has_none(body: bytes):
    assert usage_in(body) is None


def test_an_answer_that_is_too_long_is_not_held_and_tells_nothing():
    body = orjson.dumps({**OWN, "text": "x" * MAX_ANSWER_BYTES})

    assert usage_in(*pieces_of(body, 1 << 20)) is None
