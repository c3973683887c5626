"""Collects the problems of a configuration file, so that one error names all of them.

Lives here: the collection and the error.  Not here: finding problems (source, loading, checks).
"""

from gateway.config.validation import shown


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` has one line for each reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Problems:
    """The problems found so far, at most one per key: the first is the cause, later ones are its consequences."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def add(self, key: str, line: str) -> None:
        """Add what is wrong with `key`."""
        self._lines.setdefault(key, line)

    def add_value(self, key: str, value: object, rule: str) -> None:
        """Add *key = value, rule*."""
        self.add(key, f"{key} = {shown(key, value)}, {rule}")

    def concerns(self, key: str) -> bool:
        """Return whether this key is wrong, anything below it, or what it is a part of."""
        return any(wrong == key or _is_below(wrong, key) or _is_below(key, wrong) for wrong in self._lines)

    def lines(self) -> tuple[str, ...]:
        """Return one line for each problem, in the order they were found."""
        return tuple(self._lines.values())

    def raise_if_any(self) -> None:
        """Raise them all as one ConfigurationError."""
        if self._lines:
            raise ConfigurationError(self.lines())


def _is_below(key: str, other: str) -> bool:
    return key.startswith((f"{other}.", f"{other}["))
