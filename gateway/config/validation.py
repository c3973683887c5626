"""The wording of validation errors: *key = value, rule*, for configuration files and request bodies alike.

Lives here: pydantic's findings in our words, and values as messages may show them.  Not here: what is done about a
finding (loading, gateway.admin.problems).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from gateway.config.addresses import without_credentials

SECRETS = frozenset({"admin_token"})
"""Keys whose values no message shows."""

MAX_SHOWN = 80
"""Characters of a wrong value that a message shows; chosen: one line of a terminal."""

_RULES = {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "invalid_key": "must be text, as all keys are",
    "string_type": "must be text, in quotes if it looks like something else",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a JSON object",
}
"""Our words for errors whose messages name Python's types, by pydantic's name of the error."""


def rule(detail: ErrorDetails) -> str:
    """Return what the value must be."""
    words = re.sub(r"^(Value error, |(Input|String|Tuple) should )| after validation, not \d+$", "", detail["msg"])
    return _RULES.get(detail["type"], words if words.startswith("must ") else f"must {words}")


def joined(steps: Iterable[str | int]) -> str:
    """Join a location to a path: `models`, 0, `name` become `models[0].name`."""
    key = ""
    for step in steps:
        key = dotted(key, step)
    return key


def dotted(parent: str, step: str | int) -> str:
    """Append one step to a path: 0 to `models` gives `models[0]`, and `name` to that gives `models[0].name`."""
    if isinstance(step, int):
        return f"{parent}[{step}]"
    return f"{parent}.{step}" if parent else step


def shown(key: str, value: object) -> str:
    """Return a value as a message may show it: short, printable, without secrets."""
    name = key.rpartition(".")[2]
    if name in SECRETS:
        return "***"
    text = without_credentials(_as_written(value))
    if name == "url" and "://" not in text:  # no URL, and what stands before an @ may still be a password
        text = re.sub(r".*@", "***@", text)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _as_written(value: Any) -> str:
    """Return the value roughly as it stands in YAML or JSON."""
    if isinstance(value, str):
        return value if value.isprintable() and value else repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(shown("", item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(str(key), item)}" for key, item in value.items()) + "}"
    return str(value)
