"""Findings in our words, without secrets."""

import pytest
from pydantic import BaseModel, ValidationError

from gateway.config.validation import joined, rule, shown


class Tree(BaseModel):
    count: int = 0
    name: str = ""
    children: tuple["Tree", ...] = ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"count": "many"}, "must be a valid integer, unable to parse string as an integer"),
        ({"name": 5}, "must be text, in quotes if it looks like something else"),
        ({"children": 5}, "must be a list"),
        ({"children": [5]}, "must be a mapping"),
    ],
)
def test_rules_say_what_the_value_must_be(data, expected):
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate(data)

    assert [expected] == [rule(detail) for detail in caught.value.errors()]


def test_locations_are_written_as_paths():
    assert "models[0].endpoints[1].address" == joined(("models", 0, "endpoints", 1, "address"))
    assert "" == joined(())


def test_values_are_shown_short_printable_and_without_secrets():
    assert shown("admin_token", "hush") == "***"
    assert shown("x", {"admin_token": "hush", "b": True}) == "{admin_token: ***, b: true}"
    assert shown("redis.url", "redis://u:hush@h") == "redis://***@h"
    assert shown("x", "x" * 100) == "x" * 80 + "..."
    assert shown("x", "a\nb") == "'a\\nb'"
    assert shown("x", "") == "''"
