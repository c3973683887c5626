"""Reading one field of a body: its type, its range, and the message when it is wrong.

Lives here: single fields.  Not here: which fields an operation has (request) or what a prompt is (prompt).
A message never repeats text that the client wrote, only numbers, so that messages may be logged.
"""

from collections.abc import Mapping
from typing import Any

from gateway.openai.errors import BadRequestError

Body = Mapping[str, Any]
"""A parsed body: whatever JSON can hold."""

MAX_COUNT = 2**31 - 1
"""Larger counts of tokens or choices are refused: their products would leave the integers that a double holds."""


def wrong(field: str, value: object, rule: str) -> BadRequestError:
    """The refusal of one field: *key = value, rule*."""
    return BadRequestError(f"{field} = {_shown(value)}, {rule}", param=field)


def _shown(value: object) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str():
            return "a string" if value else "an empty string"
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "an object"


def required_text(body: Body, field: str) -> str:
    """A string that is there and not empty."""
    value = body.get(field)
    if isinstance(value, str) and value:
        return value
    raise wrong(field, value, "must be a non-empty string")


def flag(body: Body, field: str, inside: str = "") -> bool:
    """A boolean; absent and null are false.  `inside` names the object that `body` is a part of, dot included."""
    value = body.get(field)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise wrong(inside + field, value, "must be a boolean")


def whole(value: object) -> bool:
    """Whether a value of JSON is an integer: 2 and 2.0 are, true is not."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def count(body: Body, field: str, least: int = 1) -> int | None:
    """An integer from `least` to MAX_COUNT; None when absent or null."""
    value = body.get(field)
    if value is None:
        return None
    if whole(value) and least <= value <= MAX_COUNT:
        return int(value)
    raise wrong(field, value, f"must be an integer from {least} to {MAX_COUNT}")


def check_number(body: Body, field: str) -> None:
    """A number or nothing; its range is the engine's business."""
    value = body.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise wrong(field, value, "must be a number")
