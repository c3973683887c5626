"""Texts that match a regular expression.

Lives here: making a text from Python's parse of the expression.  Not here: who asks for one (instances).
Look-around and back references are beyond it.
"""

import re
from collections.abc import Iterable
from random import Random
from re import _constants as op  # type: ignore[attr-defined]  # the parser of `re`: not typed, and stable since 2001
from re import _parser as parser  # type: ignore[attr-defined]  # the same
from string import ascii_letters, digits, printable
from typing import Any

MAX_REPEATS = 8
"""Repetitions beyond the least that an unbounded repeat makes (chosen)."""
MAX_LENGTH = 10_000
"""The most repetitions that a pattern may demand (chosen)."""
TRIES = 200
"""Texts that are made to meet a length (chosen)."""
_PLAIN = [character for character in printable[:95] if character != "\\"]
_CATEGORIES = {
    op.CATEGORY_DIGIT: digits, op.CATEGORY_WORD: ascii_letters + digits + "_", op.CATEGORY_SPACE: " ",
}  # fmt: skip
_OPPOSITES = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT, op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
}  # fmt: skip


def matching(pattern: str, rng: Random, least: int = 0, most: int | None = None) -> str:
    """Return a text of `least` to `most` characters in which the pattern is found.  Raises ValueError or re.error."""
    parsed, compiled = parser.parse(pattern), re.compile(pattern)
    for _ in range(TRIES):
        text = "".join(_made(parsed, rng))
        if least <= len(text) <= (len(text) if most is None else most) and compiled.search(text):
            return text
    raise ValueError("no text that matches was found")


def _made(parsed: Iterable[tuple[Any, Any]], rng: Random) -> Iterable[str]:
    for kind, value in parsed:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.NOT_LITERAL:
            yield rng.choice([character for character in _PLAIN if character != chr(value)])
        elif kind is op.ANY:
            yield rng.choice(ascii_letters)
        elif kind is op.IN:
            yield rng.choice(_members(value))
        elif kind is op.BRANCH:
            yield from _made(rng.choice(value[1]), rng)
        elif kind is op.SUBPATTERN:
            yield from _made(value[-1], rng)
        elif kind in {op.MAX_REPEAT, op.MIN_REPEAT}:
            low, high, inner = value
            if low > MAX_LENGTH:
                raise ValueError("it repeats too often")
            for _ in range(rng.randint(low, min(high, low + MAX_REPEATS))):
                yield from _made(inner, rng)
        elif kind is not op.AT:
            raise ValueError(f"{str(kind).lower()} is not supported")


def _members(parts: list[tuple[Any, Any]]) -> list[str]:
    """Return the characters of a class `[...]`."""
    members: list[str] = []
    for kind, value in parts:
        if kind is op.LITERAL:
            members.append(chr(value))
        elif kind is op.RANGE:
            members.extend(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
        elif kind is op.CATEGORY and value in _CATEGORIES:
            members.extend(_CATEGORIES[value])
        elif kind is op.CATEGORY:
            members.extend(character for character in _PLAIN if character not in _CATEGORIES[_OPPOSITES[value]])
    if parts[0][0] is op.NEGATE:
        members = [character for character in _PLAIN if character not in members]
    if not members:
        raise ValueError("a class is empty")
    return members
