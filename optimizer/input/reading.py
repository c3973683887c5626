"""JSON texts that others write: cases and profiles.

Lives here: every problem of an input in one pass, each as `key = value, rule`.  Not here: what values mean (case_json,
profiles).
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

MOST_NUMBER = 1e100
"""Numbers above this are refused: sums and products of such ones would overflow."""
SHOWN = 60
"""Characters of a value that a message shows."""


class InputError(ValueError):
    """The input cannot be used; `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(" ".join(problem.splitlines()) for problem in problems)


class Reader:
    """Reads values and collects problems; a value that is wrong becomes one that lets reading go on."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def load(self, text: str | bytes) -> Any:
        """Return the value of a JSON text.  Raises InputError when it is none."""
        try:
            return json.loads(text, object_pairs_hook=self._unique)
        except (ValueError, RecursionError) as error:
            raise InputError([f"no JSON: {error}"]) from error

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object; a key that is repeated is a problem, because one of its values would be lost."""
        names = [name for name, _ in pairs]
        self.problems += [
            f"{name}: is there {names.count(name)} times" for name in dict.fromkeys(names) if names.count(name) > 1
        ]
        return dict(pairs)

    def number(self, key: str, value: Any, least: float = 0.0, above: float | None = None) -> float:
        """Return a number of at least `least`, or above `above`."""
        number = finite(value)
        if number is not None and least <= number <= MOST_NUMBER and (above is None or number > above):
            return number
        rule = f">= {least:g}" if above is None else f"> {above:g}"
        rule = f"<= {MOST_NUMBER:g}" if number is not None and number > MOST_NUMBER else rule
        self.problems.append(f"{key} = {shown(value)}, must be a number {rule}")
        return least if above is None else above + 1

    def close(self) -> None:
        """End reading.  Raises InputError with all problems."""
        if self.problems:
            raise InputError(self.problems)


def finite(value: Any) -> float | None:
    """Return the value as a float; None for everything that is no finite number, true and false among it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
