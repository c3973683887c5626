"""YAML and JSON that people write, read strictly: every problem at once, and unknown keys name the nearest known one.

Lives here: text to checked values, and the wording of problems: *key = value, rule*.  Not here: which keys there are
(deployments_file, simulation).
"""

from collections.abc import Hashable
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from optimizer.input.reading import InputError, shown

MOST_PROBLEMS = 100
"""Problems that are told: looking for the nearest key of each takes a millisecond, and a document may be hostile."""


class Document(BaseModel):
    """A mapping of keys; unknown ones are errors, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Read = TypeVar("Read", bound=Document)


def read_yaml(text: str | bytes, kind: type[Read]) -> Read:
    """Return the document of a YAML text, or of JSON, which is YAML too.  Raises InputError with all that is wrong."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError([f"line {line}: {error.problem or 'no YAML'}"]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError([f"no YAML: {error}"]) from error
    return read_value({} if value is None else value, kind)


def read_value(value: Any, kind: type[Read]) -> Read:
    """Return the document of plain values.  Raises InputError with all that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        raise InputError([_problem(detail, kind) for detail in details[:MOST_PROBLEMS]]) from error


class _Loader(yaml.SafeLoader):
    """The safe loader, but a key given twice is an error; PyYAML would take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _problem(detail: ErrorDetails, kind: type[BaseModel]) -> str:
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in detail["loc"]).removeprefix(".")
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown, {_nearest(detail, kind)}"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    message = detail["msg"].removeprefix("Value error, ")
    rule = "be an object" if detail["type"] == "model_type" else message.partition(" should ")[2] or message
    rule = rule if rule.startswith("must ") else f"must {rule}"
    return f"{key} = {shown(_plain(detail['input']))}, {rule}" if key else rule


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | dict | list | None) else str(value)


def _nearest(detail: ErrorDetails, kind: type[BaseModel]) -> str:
    """Return the known key that an unknown one resembles, or all that there are."""
    *path, unknown = detail["loc"]
    known = _keys(kind.model_json_schema(), path)
    close = get_close_matches(str(unknown), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _keys(schema: dict[str, Any], path: list[int | str]) -> list[str]:
    """Return the keys of the mapping that stands at a path."""
    place = schema
    for step in path:
        place = place.get("items", {}) if isinstance(step, int) else place.get("properties", {}).get(step, {})
        place = schema["$defs"][place["$ref"].rpartition("/")[2]] if "$ref" in place else place
    return list(place.get("properties", {}))
