"""Pydantic's findings in our words: *key = value, rule*, for files and for request bodies alike.

Lives here: wording.  Not here: what to do about a finding.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from gateway.config.addresses import without_credentials

SECRETS = frozenset({"admin_token"})
"""Keys whose values are never repeated."""

MAX_SHOWN = 80
"""Characters of a wrong value that a message repeats; chosen: one line of a terminal."""

_RULES = {
    "string_type": "must be text, in quotes if it looks like something else",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a JSON object",
}
"""Where pydantic's own words would name Python's types."""


def rule(detail: ErrorDetails) -> str:
    """What the value must be."""
    words = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return _RULES.get(detail["type"], words)


def joined(steps: Iterable[str | int]) -> str:
    """A location as a path: `models`, 0, `name` -> `models[0].name`."""
    key = ""
    for step in steps:
        key = dotted(key, step)
    return key


def dotted(parent: str, step: str | int) -> str:
    """`models` + 0 -> `models[0]`, `models[0]` + `name` -> `models[0].name`."""
    if isinstance(step, int):
        return f"{parent}[{step}]"
    return f"{parent}.{step}" if parent else step


def shown(key: str, value: object) -> str:
    """A value as a message may repeat it: short, printable, without secrets."""
    if key.rpartition(".")[2] in SECRETS:
        return "***"
    text = without_credentials(_as_written(value))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _as_written(value: Any) -> str:
    """Roughly as it stands in YAML or JSON."""
    if isinstance(value, str):
        return value if value.isprintable() and value else repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(str(key), item)}" for key, item in value.items()) + "}"
    return str(value)
