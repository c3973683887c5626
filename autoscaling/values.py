"""Checks of single values of an object, which go on after a problem, so that all are told at once."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

MOST_COUNT = 2**31 - 1
"""Largest count: Kubernetes has 32 bits for replicas."""
SHOWN = 60
"""Characters of a value that a message shows."""

Choice = TypeVar("Choice", bound=StrEnum)


class Values:
    """Checks values; where one is bad, it notes the problem and returns a value that lets reading go on."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        """Each begins with the path of its field."""
        self.notes: list[str] = []
        """Readings that may surprise, one sentence each."""

    def problem(self, path: str, value: object, rule: str) -> None:
        """Note that a value breaks a rule."""
        text = " ".join(str(value).split())
        shown = "nothing" if value is None else text[:SHOWN] + ("..." if len(text) > SHOWN else "")
        self.problems.append(f"{path} = {shown}, {rule}")

    def mapping(self, path: str, value: object) -> Mapping[str, Any]:
        """Return the value, which must be a mapping."""
        if isinstance(value, Mapping):
            return value
        self.problem(path, value, "must be a mapping")
        return {}

    def items(self, path: str, value: object) -> list[Any]:
        """Return the value, which must be a list."""
        if isinstance(value, list | tuple):
            return list(value)
        self.problem(path, value, "must be a list")
        return []

    def text(self, path: str, value: object) -> str:
        """Return the value, which must be text and not empty."""
        if isinstance(value, str) and value:
            return value
        self.problem(path, value, "must be text")
        return ""

    def choice(self, path: str, value: str, choices: type[Choice]) -> Choice:
        """Return the member of that value; an empty value is a problem that is known already."""
        for each in choices:
            if each.value == value:
                return each
        if value:
            self.problem(path, value, f"must be one of {', '.join(choices)}")
        return next(iter(choices))

    def count(self, path: str, value: object, least: int, most: int = MOST_COUNT) -> int:
        """Return the value, which must be a whole number in [least, most]."""
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        rule = f"must be > {least - 1}" if least else "must be >= 0"
        self.problem(path, value, f"{rule} and a whole number" + (f" <= {most}" if most != MOST_COUNT else ""))
        return least

    def known(self, path: str, mapping: Mapping[str, Any], names: Collection[str]) -> None:
        """Note each key that is none of the names, with the name that is nearest to it."""
        for key in mapping:
            if key not in names:
                near = get_close_matches(str(key), names, n=1, cutoff=0.0)
                self.problems.append(f"{path}.{key} is not known; the nearest is {near[0]}")
