"""Reading one field of a parsed body: its type, its range, and the error when it breaks them.

Lives here: single fields.  Not here: which fields an operation has (operations, request), the prompt (prompt).
Error messages repeat numbers that the client sent and never text, so that they may be logged.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.openai.errors import BadRequestError

Body = Mapping[str, Any]
"""A parsed body, with any JSON values."""

MAX_COUNT = 2**31 - 1
"""The largest count of tokens or choices that is accepted (chosen: what a signed integer of 32 bits holds)."""

MAX_DEPTH: Final = 254
"""Lists and objects around each other that orjson writes at most."""


def field_error(field: str, value: object, rule: str) -> BadRequestError:
    """Return the error of a field that breaks a rule, with the message *key = value, rule*."""
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


def first_given(body: Body, fields: Sequence[str]) -> str | None:
    """Return the first of these fields that the body has and that is not null; None = it has none of them."""
    for field in fields:
        if body.get(field) is not None:
            return field
    return None


def as_json(value: object, field: str) -> bytes:
    """Return a value that was parsed from JSON as JSON.  Raises BadRequestError where it is nested too deep."""
    try:
        return orjson.dumps(value)
    except TypeError:  # nothing but its depth can be the cause
        raise BadRequestError(f"{field} = an object, must be nested less than {MAX_DEPTH} deep", param=field) from None


def check_length(items: Sequence[object], field: str, most: int) -> None:
    """Refuse a list with more than `most` items."""
    if len(items) > most:
        raise BadRequestError(f"{field} = a list of {len(items)} items, must have at most {most}", param=field)


def required_text(body: Body, field: str) -> str:
    """Return a field that must be a non-empty string."""
    value = body.get(field)
    if isinstance(value, str) and value:
        return value
    raise field_error(field, value, "must be a non-empty string")


def flag(body: Body, field: str, inside: str = "") -> bool:
    """Return a boolean field, false where absent or null.  `inside` is the prefix of its name, such as "options."."""
    value = body.get(field)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise field_error(inside + field, value, "must be a boolean")


def is_integer(value: object) -> bool:
    """Return whether a JSON value is an integer: 2 and 2.0 are, true is not."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def count(body: Body, field: str, minimum: int = 1) -> int | None:
    """Return an integer field from `minimum` to MAX_COUNT; None where absent or null."""
    value = body.get(field)
    if value is None:
        return None
    if is_integer(value) and minimum <= value <= MAX_COUNT:
        return int(value)
    raise field_error(field, value, f"must be an integer from {minimum} to {MAX_COUNT}")


def check_number(body: Body, field: str) -> None:
    """Check that a field is a number, absent or null; engines check its range."""
    value = body.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):  # no union per call
        raise field_error(field, value, "must be a number")
