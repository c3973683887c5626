"""Functions that a client offers, and which of them a simulated model calls.

Lives here: the choice.  Not here: each API's way to offer functions (requests, messages, response_objects), arguments
(instances), JSON of calls (the shapes).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulator.openai.errors import ParameterError

AUTO, NONE, REQUIRED = "auto", "none", "required"


@dataclass(frozen=True, slots=True)
class Function:
    """One function that may be called; `parameters` is the JSON schema of its arguments."""

    name: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class Offer:
    """The functions of a request and the client's choice: AUTO, NONE, REQUIRED or the name of one of them."""

    functions: Sequence[Function] = ()
    choice: str = AUTO
    is_named: bool = False  # `choice` is a name
    parallel: bool = True  # several may be called at once

    def called(self, last_text: str, *, after_result: bool) -> tuple[Function, ...]:
        """Return the functions that the model calls.  Raises ParameterError for a choice that cannot be met.

        Left to itself the model calls the functions whose names have a word in common with the user's last text, or the
        first one; and none when it has just been given a result, so that a conversation with tools comes to an end.
        """
        if self.is_named:
            return (self._named(),)
        if self.choice == REQUIRED and not self.functions:
            raise ParameterError("When using `tool_choice`, `tools` must be set.", "tool_choice")
        if not self.functions or self.choice == NONE or (self.choice == AUTO and after_result):
            return ()
        words = _words(last_text)
        wanted = tuple(function for function in self.functions if words & _words(function.name)) or self.functions[:1]
        return tuple(wanted if self.parallel else wanted[:1])

    def _named(self) -> Function:
        found = next((function for function in self.functions if function.name == self.choice), None)
        if found is None:
            raise ParameterError(
                "The tool specified in `tool_choice` does not match any of the specified `tools`.", "tool_choice"
            )
        return found


def _words(text: str) -> set[str]:
    """Return the words of a text or of a name in snake or camel case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)} - {"get", "the", "a", "to", "of", "in"}
