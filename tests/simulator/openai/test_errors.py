import json
import math
from pathlib import Path

import pytest

from simulator.openai.errors import (
    ApiError,
    BusyError,
    DeadEngineError,
    MediaTypeError,
    ParameterError,
    UnknownModelError,
    ValidationFailedError,
    parse_json,
)
from tests.support.shapes import read_recording

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.mark.parametrize(
    ("recording", "error"),
    [
        ("death_nonstream", DeadEngineError()),
        ("err_content_type", MediaTypeError()),
        ("err_unknown_model", UnknownModelError("nope", "tiny")),
        (
            "err_bad_temperature",
            ParameterError("temperature must be non-negative, got -1.0.", "temperature", -1.0),
        ),
    ],
)
def test_an_error_is_worded_as_recorded(recording, error):
    recorded = read_recording(RECORDINGS / f"{recording}.http")

    assert (recorded.status, recorded.json) == (error.status, error.body)


def test_a_full_queue_is_worded_as_recorded():
    status_line, body = (RECORDINGS / "err_503_queue.txt").read_text().split("\n", 1)

    assert status_line.startswith(f"HTTP {BusyError.status} ")
    assert json.loads(body) == BusyError().body


def refusal(body):
    with pytest.raises(ApiError) as caught:
        parse_json(body)
    return caught.value


def test_an_empty_body_is_refused_as_recorded():
    assert read_recording(RECORDINGS / "err_empty_body.http").json == refusal(b"").body


def test_broken_json_is_refused_with_the_place_as_recorded():
    broken = b'{"model":"tiny","messages": ['
    assert read_recording(RECORDINGS / "err_invalid_json.http").json == refusal(broken[:-1]).body


def test_what_is_not_utf_8_is_refused():
    assert 400 == refusal(b'"\xff"').status


def test_nan_is_taken_as_the_real_parser_does():
    assert math.isnan(parse_json(b"[NaN]")[0])


def test_several_problems_are_listed_and_the_first_is_the_param():
    problems = [
        {"type": "missing", "loc": ("messages", 0, "role"), "msg": "Field required", "input": [1, 2]},
        {"type": "int_parsing", "loc": ("n",), "msg": "bad", "input": "x"},
    ]

    error = ValidationFailedError(problems)

    assert "body.messages.0.role" == error.param
    assert error.message.startswith("2 validation errors:\n  {'type': 'missing', 'loc': 'body.messages.0.role'")
    assert "<list of 2 items>" in error.message
