"""Every key that a configuration file may have, read from the settings classes.

Lives here: names, types in words, defaults and docstrings, for "did you mean" and for the documentation page.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from inspect import getdoc
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from gateway.config.settings import Section, Settings

_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    int | None: "whole number",
    float | None: "number",
}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key; `kind` is its type in words; `default` is None when the key is required."""

    name: str
    kind: str
    default: object
    required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class KeySection:
    """One mapping of the file.  `path` is empty for the top level, `models[]` for the items of a list."""

    path: str
    about: str
    keys: tuple[Key, ...]


@cache
def sections() -> tuple[KeySection, ...]:
    """Every section, the top level first."""
    return tuple(_sections(Settings, ""))


def _sections(section: type[Section], path: str) -> Iterator[KeySection]:
    fields = section.model_fields
    yield KeySection(path, getdoc(section) or "", tuple(_key(name, field) for name, field in fields.items()))
    for name, field in fields.items():
        inner = _inner(field)
        if inner is not None:
            yield from _sections(inner, f"{path}.{name}{'[]' if _is_list(field) else ''}".lstrip("."))


def _inner(field: FieldInfo) -> type[Section] | None:
    """The section class of a field that is a mapping or a list of mappings."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _key(name: str, field: FieldInfo) -> Key:
    inner, required = _inner(field), field.is_required()
    meaning = field.description or (getdoc(inner) if inner else "") or ""
    if inner and _is_list(field):
        return Key(name, "list, see below", [], required, meaning)
    if inner:
        return Key(name, "mapping, see below", {}, required, meaning)
    default = None if required else field.get_default(call_default_factory=True)
    return Key(name, _kind(field), default, required, meaning)


def _kind(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(rule, attribute)}"
        for rule in field.metadata
        for attribute, sign in _BOUNDS.items()
        if hasattr(rule, attribute)
    ]
    return ", ".join([_type_in_words(field.annotation), *bounds])


def _type_in_words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) is dict:
        return "mapping of text to text"
    return _WORDS[annotation]


def nearest(section: str, unknown: str) -> str:
    """What to say about an unknown key of the section `section` (a path as in `KeySection.path`)."""
    names = {known.path: [key.name for key in known.keys] for known in sections()}
    close = get_close_matches(unknown, names[section], n=1)
    if close:
        return f"did you mean {close[0]}?"
    elsewhere = [f"{path}.{unknown}".lstrip(".") for path in names if unknown in names[path]]
    return f"did you mean {elsewhere[0]}?" if elsewhere else f"known keys: {', '.join(sorted(names[section]))}"
