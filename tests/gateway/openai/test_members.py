"""A body that is changed differs in the one member that had to change, and nowhere else."""

import time
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.members import (
    BYTES_PER_BACKSLASH,
    MAX_MENTIONS,
    MAX_QUOTES,
    MAX_VALUE,
    MemberNotFoundError,
    insert_member,
    replace_member,
)

NAME = "stream_options"
BLANKS = st.sampled_from(["", " ", "\n\t ", "\r\n"])
SCALARS = st.sampled_from([
    "18446744073709551616", "1.0", "1", "-0.0", "1e400", "1E-7", "123456789012345678901234567890", "0.1000", "null",
    "true", '""', r'"\u00e9\n\/"', r'"\ud800"', r'"\\"', r'"\""', r'"\\\""', '"é 漢 😀"', '"{[,:"', '"]}"',
    f'"{NAME}"', rf'"\"{NAME}\":{{}}"', rf'["x\\","{NAME}"]', "9" * 5000,
])  # fmt: skip
"""Values as they are written, each of which is spelled otherwise after parsing, or looks like structure."""
KEYS = st.sampled_from(['"a"', '"é"', r'"\u0073"', r'"\""', '""', '"include_usage"', f'"{NAME} "', f'"x{NAME}"'])


@st.composite
def containers(draw, inner, names=KEYS):
    values = draw(st.lists(inner, max_size=3))
    if draw(st.booleans()):
        return "[" + ",".join(f"{draw(BLANKS)}{value}{draw(BLANKS)}" for value in values) + "]"
    pairs = [f"{draw(BLANKS)}{draw(names)}{draw(BLANKS)}:{draw(BLANKS)}{value}{draw(BLANKS)}" for value in values]
    return "{" + ",".join(pairs) + "}"


VALUES = st.recursive(SCALARS, lambda inner: containers(inner, KEYS | st.just(f'"{NAME}"')), max_leaves=6)
"""Any JSON values, also objects with members of the name that is looked for."""
MEMBERS = st.lists(st.tuples(KEYS, VALUES), max_size=3)


@st.composite
def around(draw):
    """Draw the text before and after one member of an object, its white space included."""

    def joined(members):
        return [f"{draw(BLANKS)}{key}{draw(BLANKS)}:{draw(BLANKS)}{value}{draw(BLANKS)}" for key, value in members]

    before, after = joined(draw(MEMBERS)), joined(draw(MEMBERS))
    key = f'{draw(BLANKS)}"{NAME}"{draw(BLANKS)}:{draw(BLANKS)}'
    return (
        draw(BLANKS) + "{" + "".join(f"{member}," for member in before) + key,
        draw(BLANKS) + "".join(f",{member}" for member in after) + "}" + draw(BLANKS),
    )


@given(around(), VALUES, VALUES)
def test_only_the_value_of_the_member_changes(around, old, new):
    before, after = around

    assert f"{before}{new}{after}".encode() == replace_member(f"{before}{old}{after}".encode(), (NAME,), new)


@given(around(), VALUES, VALUES)
def test_only_the_value_of_a_member_of_a_member_changes(around, old, new):
    before, after = around
    inside, behind = '{ "include_usage":1, "include_usage" :', f', "x":{{"include_usage":{old}}} }}'

    changed = replace_member(f"{before}{inside}{old}{behind}{after}".encode(), (NAME, "include_usage"), new)

    assert f"{before}{inside}{new}{behind}{after}".encode() == changed


@given(around(), BLANKS)
def test_a_member_that_is_missing_is_inserted_before_its_siblings(around, blanks):
    before, after = around
    path = (NAME, "include_usage")

    in_empty = replace_member(f"{before}{{{blanks}}}{after}".encode(), path, "true")
    beside = replace_member(f'{before}{{{blanks}"x":1.0}}{after}'.encode(), path, "true")

    assert f'{before}{{"include_usage":true{blanks}}}{after}'.encode() == in_empty
    assert f'{before}{{"include_usage":true,{blanks}"x":1.0}}{after}'.encode() == beside


@given(around(), SCALARS | st.sampled_from(["[]", "[{}]"]))
def test_what_is_no_object_becomes_one(around, old):
    before, after = around

    changed = replace_member(f"{before}{old}{after}".encode(), (NAME, "include_usage"), "true")

    assert f'{before}{{"include_usage":true}}{after}'.encode() == changed


@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=3))
def test_a_body_without_the_member_gets_it_in_front(members):
    inside = ", ".join(f"{key} : {value}" for key, value in members)
    body, expected = f" {{{inside} }}\n".encode(), f' {{"{NAME}":7,{inside} }}\n'.encode()

    assert (expected, expected) == (replace_member(body, (NAME,), "7"), insert_member(body, NAME, "7"))


def test_an_empty_object_gets_its_first_member():
    assert b' {"a":{"b":{"c":7}}} ' == replace_member(b" {} ", ("a", "b", "c"), "7")


def test_of_a_repeated_key_the_last_counts():
    assert b'{"a":1,"b":2,"a":7}' == replace_member(b'{"a":1,"b":2,"a":3}', ("a",), "7")


@pytest.mark.parametrize("value", ['"' + "a" * MAX_VALUE + '"', "[" * 2000 + "]" * 2000])
def test_a_value_whose_end_is_too_far_is_not_found(value):
    with pytest.raises(MemberNotFoundError):
        replace_member(f'{{"a":{value}}}'.encode(), ("a",), "7")


@pytest.mark.parametrize("text", [",".join(['"x"'] * (MAX_QUOTES // 2)), '"' + r"\n" * (MAX_QUOTES + 1) + '"'])
def test_a_body_of_more_strings_or_backslashes_than_are_looked_through_is_not_changed(text):
    with pytest.raises(MemberNotFoundError):
        replace_member(f'{{"a":1,"x":[{text}]}}'.encode(), ("a",), "7")


def test_backslashes_are_looked_through_where_they_are_rare():
    text = (r"\n" + "a" * BYTES_PER_BACKSLASH) * (MAX_QUOTES + 1)

    assert f'{{"a":7,"x":"{text}"}}'.encode() == replace_member(f'{{"a":1,"x":"{text}"}}'.encode(), ("a",), "7")


MB = 1_000_000
SHAPES = {
    "text": '"' + "a" * MB + '"',
    "escapes": '"' + r"\"" * (MB // 2) + '"',
    "lists": "[" + ",".join(["[1]"] * (MB // 4)) + "]",
    "objects": "[" + ",".join(['{"a":1}'] * (MB // 8)) + "]",
    "strings": "[" + ",".join(['""'] * (MB // 3)) + "]",
    "mentions": "[" + ",".join([f'{{"{NAME}":1}}'] * (MAX_MENTIONS - 1)) + f',"{"a" * MB}"]',
    "too many mentions": "[" + ",".join([f'{{"{NAME}":1}}'] * (MB // 21)) + "]",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_megabyte_of_any_shape_holds_the_loop_for_milliseconds(shape):
    body = f'{{"x":{SHAPES[shape]},"{NAME}":{{}}}}'.encode()
    parse_s = _best_s(lambda: orjson.loads(body))

    change_s = _best_s(lambda: _change(body))

    assert change_s < 0.100 + parse_s  # 5 to 20 ms on an idle machine; a parser takes up to 250


def _change(body):
    with suppress(MemberNotFoundError):
        replace_member(body, (NAME, "include_usage"), "true")


def _best_s(work):
    times = []
    for _ in range(5):
        started_s = time.process_time()
        work()
        times.append(time.process_time() - started_s)
    return min(times)
