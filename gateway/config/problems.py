"""What is wrong with a configuration file: collected and raised together.

Lives here: the collection and the error.  Not here: finding problems (source, checks).
"""

from gateway.config.validation import shown


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
