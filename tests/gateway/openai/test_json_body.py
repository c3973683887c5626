import json
import time
import timeit
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.errors import BadRequestError
from gateway.openai.json_body import FEW_VALUES, MAX_CONTAINERS, MAX_STRINGS, MAX_VALUES, parse_object


def a_body(unit, units, more=b""):
    return b'{"x":[' + b",".join([unit] * units) + b"]" + more + b"}"


def refusal(body):
    with pytest.raises(BadRequestError) as refused:
        parse_object(body)
    return refused.value.message


@pytest.mark.parametrize(
    ("unit", "most"),
    [
        (b"[]", MAX_CONTAINERS),
        (b"{}", MAX_CONTAINERS),
        (b"[[]]", MAX_CONTAINERS // 2),
        (b"[1]", MAX_CONTAINERS),
        (b'{"a":[]}', MAX_CONTAINERS // 2),
    ],
)
def test_objects_and_lists_are_counted_before_any_is_built(unit, most):
    assert orjson.loads(a_body(unit, most - 2)) == parse_object(a_body(unit, most - 2))
    assert f"objects and lists, must be at most {MAX_CONTAINERS}" in refusal(a_body(unit, most + 1))


@pytest.mark.parametrize(
    ("unit", "most"),
    [(b'""', MAX_STRINGS), (b'"a"', MAX_STRINGS), (rb'"\\"', MAX_STRINGS), (b'"a","b"', MAX_STRINGS // 2)],
)
def test_strings_are_counted(unit, most):
    assert orjson.loads(a_body(unit, most - 1)) == parse_object(a_body(unit, most - 1))
    assert f"strings, must be at most {MAX_STRINGS}" in refusal(a_body(unit, most + 1))


@pytest.mark.parametrize("unit", [b"12345", b"-1.5", b"null", b"true"])
def test_values_are_counted_by_the_commas_between_them(unit):
    assert orjson.loads(a_body(unit, MAX_VALUES)) == parse_object(a_body(unit, MAX_VALUES))
    assert f"commas between values, must be at most {MAX_VALUES}" in refusal(a_body(unit, MAX_VALUES + 2))


def test_values_of_one_digit_are_allowed_in_smaller_numbers():
    assert parse_object(a_body(b"1", FEW_VALUES))
    assert f"commas between values, must be at most {FEW_VALUES}" in refusal(a_body(b"1", FEW_VALUES + 2))


@pytest.mark.parametrize("text", ["[", "{", ",", '"', "\\", '\\"', '[{",', '"[', "\\u005b[", "a, b[0] = {}\n"])
def test_what_stands_in_strings_does_not_count(text):
    fields = {"prompt": text * 2 * MAX_VALUES, "x": [[text]] * 9}

    assert fields == parse_object(json.dumps(fields).encode())


@given(st.text(alphabet='[]{}",:\\a1 '), st.sampled_from([b"[]", b"{}"]))
def test_no_string_hides_what_stands_outside(text, unit):
    body = json.dumps({"prompt": text, "x": 1}).encode()[:-1] + b',"y":[' + b",".join([unit] * MAX_CONTAINERS) + b"]}"

    assert "objects and lists" in refusal(body)


@pytest.mark.parametrize(
    "unit", [b"[1],", b'"",', b"1,", b'{"a":{}},', b'"\\"', b'["', b'[\\"', b"[", b"{", b",", b'"']
)
def test_a_body_that_is_refused_takes_no_more_memory_than_a_few_copies_of_it(unit):
    body = b'{"x":[' + unit * (4_000_000 // len(unit))
    tracemalloc.start()
    try:
        assert refusal(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * len(body)  # the lists of `[1],` alone would take 20 times as much


def test_a_text_of_quotes_takes_little_more_than_parsing_it():
    body = a_body(b'"' + rb"\"" * 500_000 + b'"', 1)

    def seconds(parse):
        return min(timeit.repeat(lambda: parse(body), timer=time.process_time, number=1, repeat=5))

    assert seconds(parse_object) < 2 * seconds(orjson.loads) + 0.004  # it took 10 ms more
