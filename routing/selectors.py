"""Kubernetes label selectors, as the `external-filter` header carries them.

Lives here: the grammar and what matches.  Not here: which pods are asked (routing.filters).
Source: Kubernetes documentation, "Labels and Selectors": `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`,
joined by commas that mean "and".  As there, `!=` and `notin` also match where the label is absent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

NAME_LIMIT = 63  # characters of a label's name and of its value (same page, "Syntax and character set")
PREFIX_LIMIT = 253
MOST_REQUIREMENTS = 64
"""Each is asked of every pod (chosen: a header has room for thousands, nobody needs more than a few)."""

_TOKEN = re.compile(r"\s*(?P<token>[-A-Za-z0-9_./]+|==|!=|[=!(),]|\S)")
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_NO_MORE = ""


class InvalidSelectorError(ValueError):
    """Not a label selector: `why`, found at `position` (characters from the start)."""

    def __init__(self, text: str, position: int, why: str) -> None:
        super().__init__(f"label selector {text!r}, position {position}: {why}")
        self.position = position
        self.why = why


class Operator(Enum):
    """What a requirement asks of one label.  Equality is membership in a set of one."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels fulfils it."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.ABSENT:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold; none at all matches everything."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` writes down; blank text selects everything.  Raises InvalidSelectorError."""
    if not text.strip():
        return Selector(())
    return Selector(_Parser(text).requirements())


class _Parser:
    """Recursive descent over the tokens, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._advance()

    def requirements(self) -> tuple[Requirement, ...]:
        found = [self._requirement()]
        while self._ahead == ",":
            self._advance()
            if len(found) == MOST_REQUIREMENTS:
                raise self._error(f"more than {MOST_REQUIREMENTS} requirements")
            found.append(self._requirement())
        if self._ahead != _NO_MORE:
            raise self._error("expected ',' or the end")
        return tuple(found)

    def _requirement(self) -> Requirement:
        if self._ahead == "!":
            self._advance()
            return Requirement(self._key(), Operator.ABSENT)
        key = self._key()
        match self._ahead:
            case "=" | "==":
                self._advance()
                return Requirement(key, Operator.IN, frozenset((self._value(),)))
            case "!=":
                self._advance()
                return Requirement(key, Operator.NOT_IN, frozenset((self._value(),)))
            case "in" | "notin":
                operator = Operator(self._ahead)
                self._advance()
                return Requirement(key, operator, self._values())
            case "," | "":
                return Requirement(key, Operator.EXISTS)
        raise self._error("expected '=', '==', '!=', 'in', 'notin', ',' or the end")

    def _key(self) -> str:
        prefix, slash, name = self._ahead.rpartition("/")
        if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
            raise self._error("expected a label key")
        if slash and (len(prefix) > PREFIX_LIMIT or not _PREFIX.fullmatch(prefix)):
            raise self._error("the prefix of a label key must be a DNS name")
        return self._take()

    def _value(self) -> str:
        """Take a value; one that is left out is the empty string."""
        if self._ahead in (_NO_MORE, ",", ")"):
            return ""
        if len(self._ahead) > NAME_LIMIT or not _NAME.fullmatch(self._ahead):
            raise self._error("expected a label value")
        return self._take()

    def _values(self) -> frozenset[str]:
        if self._ahead != "(":
            raise self._error("expected '('")
        self._advance()
        if self._ahead == ")":
            raise self._error("expected a label value")
        values = [self._value()]
        while self._ahead == ",":
            self._advance()
            values.append(self._value())
        if self._ahead != ")":
            raise self._error("expected ',' or ')'")
        self._advance()
        return frozenset(values)

    def _take(self) -> str:
        taken = self._ahead
        self._advance()
        return taken

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._end)
        self._ahead = found["token"] if found else _NO_MORE
        self._start = found.start("token") if found else len(self._text)
        self._end = found.end() if found else len(self._text)

    def _error(self, why: str) -> InvalidSelectorError:
        return InvalidSelectorError(self._text, self._start, why)
