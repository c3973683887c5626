"""Findings in our words, without secrets."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.config.settings import Settings
from gateway.config.validation import joined, rule, shown


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = 0
    name: str = ""
    share: Annotated[float, Field(le=1)] = 0
    title: Annotated[str, Field(min_length=1)] = "x"
    yes: bool = True
    children: tuple["Tree", ...] = ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"count": "many"}, "must be a whole number"),
        ({"count": 1.5}, "must be a whole number"),
        ({"share": "half"}, "must be a number"),
        ({"share": 2}, "must be less than or equal to 1"),
        ({"yes": "perhaps"}, "must be true or false"),
        ({"title": ""}, "must have at least 1 character"),
        ({1: 1}, "must be text, as all keys are"),
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
    assert shown("redis.url", "hush@h") == "***@h"
    assert shown("x", [{"admin_token": "hush"}, "redis://u:hush@h"]) == "[{admin_token: ***}, redis://***@h]"
    assert shown("x", "x" * 100) == "x" * 80 + "..."
    assert shown("x", "a\nb") == "'a\\nb'"
    assert shown("x", "") == "''"


@pytest.mark.parametrize(
    ("said", "mode", "asks"),
    [
        ("auto", "metadata", False),
        ("auto", "ext_proc", True),
        (True, "metadata", True),
        ("always", "metadata", True),
        (False, "ext_proc", False),
        ("never", "ext_proc", False),
    ],
)
def test_the_usage_of_streams_is_asked_for_where_it_can_be_hidden_or_where_the_file_says_so(
    said: object, mode: str, asks: bool
):
    settings = Settings.model_validate({"ask_stream_usage": said, "response_mode": mode})
    assert asks is settings.asks_stream_usage
