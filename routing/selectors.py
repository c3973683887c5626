"""Kubernetes label selectors, as the `external-filter` header carries them.

Lives here: the grammar and matching.  Not here: applying a selector to pods (routing.filters).
Source: Kubernetes documentation, "Labels and Selectors": `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`,
joined by commas that mean "and".  As there, `!=` and `notin` also match where the label is absent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

MAX_NAME_LENGTH = 63
"""Characters of a label's name, and of its value (same page, "Syntax and character set")."""
MAX_PREFIX_LENGTH = 253
"""Characters of the prefix of a label's key (same page)."""
MAX_REQUIREMENTS = 64
"""Requirements of a selector, each of which is checked on every pod (chosen: a header could have thousands)."""

_TOKEN = re.compile(r"\s*(?P<token>[-A-Za-z0-9_./]+|==|!=|[=!(),]|\S)")
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_NO_MORE = ""


class InvalidSelectorError(ValueError):
    """The text is not a label selector: `why`, at `position` (characters from the start)."""

    def __init__(self, text: str, position: int, why: str) -> None:
        super().__init__(f"label selector {text!r}, position {position}: {why}")
        self.position = position
        self.why = why


class Operator(Enum):
    """The condition of a requirement on its label.  Equality is membership in a set of one."""

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
        """Whether these labels fulfil the requirement."""
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
    """Requirements that must all hold; without any, the selector matches everything."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels fulfil all requirements."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` describes; blank text matches everything.  Raises InvalidSelectorError."""
    if not text.strip():
        return Selector(())
    return Selector(_Parser(text).requirements())


class _Parser:
    """A recursive descent parser with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._advance()

    def requirements(self) -> tuple[Requirement, ...]:
        found = [self._requirement()]
        while self._lookahead == ",":
            self._advance()
            if len(found) == MAX_REQUIREMENTS:
                raise self._error(f"more than {MAX_REQUIREMENTS} requirements")
            found.append(self._requirement())
        if self._lookahead != _NO_MORE:
            raise self._error("expected ',' or the end")
        return tuple(found)

    def _requirement(self) -> Requirement:
        if self._lookahead == "!":
            self._advance()
            return Requirement(self._key(), Operator.ABSENT)
        key = self._key()
        match self._lookahead:
            case "=" | "==":
                self._advance()
                return Requirement(key, Operator.IN, frozenset((self._value(),)))
            case "!=":
                self._advance()
                return Requirement(key, Operator.NOT_IN, frozenset((self._value(),)))
            case "in" | "notin":
                operator = Operator(self._lookahead)
                self._advance()
                return Requirement(key, operator, self._values())
            case "," | "":
                return Requirement(key, Operator.EXISTS)
        raise self._error("expected '=', '==', '!=', 'in', 'notin', ',' or the end")

    def _key(self) -> str:
        prefix, slash, name = self._lookahead.rpartition("/")
        if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
            raise self._error("expected a label key")
        if slash and (len(prefix) > MAX_PREFIX_LENGTH or not _PREFIX.fullmatch(prefix)):
            raise self._error("the prefix of a label key must be a DNS name")
        return self._consume()

    def _value(self) -> str:
        """Consume a value; one that is missing is the empty string."""
        if self._lookahead in (_NO_MORE, ",", ")"):
            return ""
        if len(self._lookahead) > MAX_NAME_LENGTH or not _NAME.fullmatch(self._lookahead):
            raise self._error("expected a label value")
        return self._consume()

    def _values(self) -> frozenset[str]:
        if self._lookahead != "(":
            raise self._error("expected '('")
        self._advance()
        if self._lookahead == ")":
            raise self._error("expected a label value")
        values = [self._value()]
        while self._lookahead == ",":
            self._advance()
            values.append(self._value())
        if self._lookahead != ")":
            raise self._error("expected ',' or ')'")
        self._advance()
        return frozenset(values)

    def _consume(self) -> str:
        taken = self._lookahead
        self._advance()
        return taken

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._end)
        self._lookahead = found["token"] if found else _NO_MORE
        self._start = found.start("token") if found else len(self._text)
        self._end = found.end() if found else len(self._text)

    def _error(self, why: str) -> InvalidSelectorError:
        return InvalidSelectorError(self._text, self._start, why)
