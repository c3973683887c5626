"""Fields of a record as words of a command line: `rpm=3 budgets.day=100000 models='{"m": {"rpm": 1}}' tpm=none`.

Lives here: reading words, changing a record.  Not here: which fields there are, which the admin REST knows.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

SYNTAX = "FIELD=VALUE"
NOTHING = "none"
"""The value that takes a field off."""


def read_fields(words: Sequence[str]) -> dict[str, Any]:
    """Return values by field, of which one may be within another: `budgets.day`.  Raises ValueError.

    A value that is JSON is taken as such, anything else as text.
    """
    fields: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals) or name in fields:
            message = f"{word!r} must be {SYNTAX}, each field once"
            raise ValueError(message)
        fields[name] = _value(value)
    return fields


def changed(record: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with these fields in place of its own."""
    new = dict(record)
    for name, value in fields.items():
        outer, dot, inner = name.partition(".")
        if dot:
            new[outer] = {**(new.get(outer) or {}), inner: value}
        else:
            new[name] = value
    return new


def _value(text: str) -> Any:
    if text == NOTHING:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
