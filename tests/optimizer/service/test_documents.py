"""Documents that people write: strict values, and every problem in plain words."""

import pytest
from pydantic import Field

from optimizer.input.reading import InputError
from optimizer.service.documents import MOST_PROBLEMS, Document, read_value, read_yaml


class Inner(Document):
    count: int = 0


class Outer(Document):
    name: str
    inner: Inner = Inner()
    many: list[Inner] = Field(default_factory=list)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read_yaml(text, Outer)
    return caught.value.problems


def test_yaml_and_json_are_read():
    expected = Outer(name="a", inner=Inner(count=2), many=[Inner(count=1)])

    assert expected == read_yaml("name: a\ninner: {count: 2}\nmany: [{count: 1}]", Outer)
    assert expected == read_yaml('{"name": "a", "inner": {"count": 2}, "many": [{"count": 1}]}', Outer)
    assert expected == read_value({"name": "a", "inner": {"count": 2}, "many": [{"count": 1}]}, Outer)


def test_an_unknown_key_names_the_nearest_one_at_its_place():
    assert ("nme: unknown, did you mean name?",) == problems("name: a\nnme: b")
    assert ("inner.cuont: unknown, did you mean count?",) == problems("name: a\ninner: {cuont: 1}")
    assert ("many[1].count1: unknown, did you mean count?",) == problems("name: a\nmany: [{}, {count1: 1}]")
    assert ("inner.zzz: unknown, known are count",) == problems("name: a\ninner: {zzz: 1}")


def test_of_very_many_problems_the_first_are_told():
    with pytest.raises(InputError) as caught:
        read_value({"name": "a", **{f"key{n}": n for n in range(5000)}}, Outer)

    assert MOST_PROBLEMS == len(caught.value.problems)


def test_values_are_not_converted():
    assert ('inner.count = "1", must be a valid integer',) == problems('name: a\ninner: {count: "1"}')
    assert ("inner.count = true, must be a valid integer",) == problems("name: a\ninner: {count: true}")
    assert ('name = "2026-01-01", must be a valid string',) == problems("name: 2026-01-01")
    assert ("inner = a list, must be an object",) == problems("name: a\ninner: []")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "name: is missing"),
        ("[]", "must be an object"),
        ("name: [", "line 1: "),
        ("name: a\nname: b", "line 2: name is given twice"),
        ("name: !!python/object:os.system x", "line 1: could not determine a constructor"),
        ("\0", "no YAML"),
        ("[" * 10_000, "no YAML"),
    ],
)
def test_a_text_that_is_no_document_says_why(text: str, problem: str):
    assert "; ".join(problems(text)).startswith(problem)
