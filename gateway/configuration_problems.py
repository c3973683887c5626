"""What is wrong with a configuration file: collected, worded as *key = value, rule*, and raised together.

Lives here: the wording and the error.  Not here: finding problems (source, checks).
"""

from collections.abc import Mapping
from typing import Any

from gateway.addresses import without_credentials

SECRETS = frozenset({"admin_token"})
"""Keys whose values are never repeated."""

MAX_SHOWN = 80
"""Characters of a wrong value that a message repeats; chosen: one line of a terminal."""


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` has one line for each reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Problems:
    """The problems found so far, at most one per key: the first says why, later ones are its consequences."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def add(self, key: str, text: str) -> None:
        """Note what is wrong at `key`."""
        self._texts.setdefault(key, text)

    def add_value(self, key: str, value: object, rule: str) -> None:
        """Note *key = value, rule*."""
        self.add(key, f"{key} = {shown(key, value)}, {rule}")

    def concerns(self, section: str) -> bool:
        """Whether anything is wrong in this top-level section."""
        return any(key.partition(".")[0].partition("[")[0] == section for key in self._texts)

    def raise_if_any(self) -> None:
        """Raise them all as one ConfigurationError."""
        if self._texts:
            raise ConfigurationError(tuple(self._texts.values()))


def dotted(parent: str, step: object) -> str:
    """`models` + 0 -> `models[0]`, `models[0]` + `name` -> `models[0].name`."""
    if isinstance(step, int):
        return f"{parent}[{step}]"
    return f"{parent}.{step}" if parent else str(step)


def shown(key: str, value: object) -> str:
    """A value as a message may repeat it: short, printable, without secrets."""
    if key.rpartition(".")[2] in SECRETS:
        return "***"
    text = without_credentials(_as_written(value))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _as_written(value: Any) -> str:
    """Roughly as it stands in YAML."""
    if isinstance(value, str):
        return value if value.isprintable() and value else repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(str(key), item)}" for key, item in value.items()) + "}"
    return str(value)
