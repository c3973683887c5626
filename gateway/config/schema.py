"""The JSON schema of the configuration file: for editors, for the reference page and for "did you mean".

Lives here: the schema, as pydantic makes it from the settings, and its sections.  Not here: the settings (settings),
the page (page), validation of a file (loading).
"""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeAlias

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from gateway.config.settings import Settings

Json: TypeAlias = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The newest that the YAML language server supports (1.19); VS Code warns of 2020-12, pydantic's own.  The settings
need no keyword that is newer."""


class _WithoutTitles(GenerateJsonSchema):
    """Pydantic's schema, but without the titles that it makes from Python names, such as `Timeout S`."""

    def field_title_should_be_set(self, _schema: object) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        made = super().model_schema(schema)
        made.pop("title", None)
        return made


@cache
def settings_schema() -> Json:
    """Return the schema of the whole file; it is shared, so do not change it."""
    schema = Settings.model_json_schema(schema_generator=_WithoutTitles)
    return {"$schema": DIALECT, "title": "Forebay configuration", **schema}


def sections() -> Iterator[tuple[str, Json]]:
    """Yield path and schema of every mapping in the file: first the top level, "", then `listen`, ..., `models[]`."""
    yield from _sections_from("", settings_schema())


def _sections_from(path: str, section: Json) -> Iterator[tuple[str, Json]]:
    yield path, section
    for name, key in section["properties"].items():
        inner = section_in(key)
        if inner is not None:
            yield from _sections_from(f"{path}.{name}{'[]' if is_list(key) else ''}".lstrip("."), inner)


def section_in(key: Json) -> Json | None:
    """Return the schema of the mapping, or of the mappings in the list, that a key holds; None for plain values."""
    kinds = (key, key.get("items", {}), *key.get("anyOf", ()))
    reference = next((kind["$ref"] for kind in kinds if "$ref" in kind), "")
    return settings_schema()["$defs"][reference.removeprefix("#/$defs/")] if reference else None


def is_list(key: Json) -> bool:
    """Whether a key holds a list."""
    return key.get("type") == "array"


def nearest_key(section: str, unknown: str) -> str:
    """Return a hint for an unknown key: the nearest in its section (a path as in `sections`), or where it belongs."""
    known = {path: list(schema["properties"]) for path, schema in sections()}
    close = get_close_matches(unknown, known[section], n=1)
    if close:
        return f"did you mean {close[0]}?"
    places = [path for path, names in known.items() if unknown in names]
    elsewhere = [f"{path}.{unknown}" if path else f"{unknown} at the top level" for path in places]
    return f"did you mean {elsewhere[0]}?" if elsewhere else f"known keys: {', '.join(sorted(known[section]))}"
