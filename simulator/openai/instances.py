"""Values that are valid for a JSON schema: arguments of functions and structured answers.

Lives here: making one value by a schema.  Not here: text and tokens (writing), which request has a schema (requests).
Within reason: types, enumerations, bounds, lengths, formats, patterns, references, `anyOf`, `oneOf`, `allOf`.  What it
does not know, such as `not`, is ignored; what it cannot satisfy raises UnsupportedSchemaError.
"""

import re
from collections.abc import Callable, Mapping
from math import ceil, floor
from random import Random
from typing import Any

from simulator.openai.patterns import matching

MAX_DEPTH = 5
"""Values nested deeper are as short as the schema allows, so that recursive schemas end (chosen)."""
HARD_DEPTH = 64
"""A schema that still demands a value at this depth demands an endless one (chosen)."""
WORDS = ("water", "wheel", "river", "gate", "stream", "basin", "Paris", "level")
FORMATS: Mapping[str, str] = {
    "date": "2026-05-17", "date-time": "2026-05-17T09:30:00Z", "time": "09:30:00Z", "duration": "P1D",
    "email": "ada@example.com", "hostname": "example.com", "uri": "https://example.com/", "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1", "uuid": "3f2b8c1e-5d4a-4e6f-9a7b-0c1d2e3f4a5b",
}  # fmt: skip
TYPE_OF_KEYWORD: Mapping[str, str] = {
    "properties": "object", "required": "object", "items": "array", "prefixItems": "array", "minItems": "array",
    "pattern": "string", "format": "string", "minLength": "string", "minimum": "number", "maximum": "number",
}  # fmt: skip
"""The type that a schema without `type` means by a keyword."""


class UnsupportedSchemaError(ValueError):
    """No value for the schema can be made here; the message says why."""


def instance(schema: object, rng: Random) -> Any:
    """Return a value that is valid for the schema.  Raises UnsupportedSchemaError."""
    return _Maker(schema, rng).make(schema, 0)


class _Maker:
    """Makes values by one schema document, to which references refer."""

    def __init__(self, document: object, rng: Random) -> None:
        self._document = document
        self._rng = rng
        self._by_type: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
            "object": self._object, "array": self._array, "string": self._string, "integer": self._integer,
            "number": self._number, "boolean": lambda _schema, _depth: self._rng.random() < 0.5,  # noqa: PLR2004  # even odds
            "null": lambda _schema, _depth: None,
        }  # fmt: skip

    def make(self, schema: object, depth: int) -> Any:
        if depth > HARD_DEPTH:
            raise UnsupportedSchemaError("it refers to itself without end")
        if schema is False or not isinstance(schema, Mapping | bool):
            raise UnsupportedSchemaError(f"{schema!r} allows no value")
        merged = self._merged(schema if isinstance(schema, Mapping) else {}, depth)
        if "const" in merged:
            return merged["const"]
        if merged.get("enum"):
            return self._rng.choice(merged["enum"])
        kind = self._type(merged, depth)
        if kind not in self._by_type:
            raise UnsupportedSchemaError(f"type {kind!r} is unknown")
        return self._by_type[kind](merged, depth)

    def _merged(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return the schema with its references, all of `allOf`, and one of `anyOf` and `oneOf` put into it."""
        merged = dict(schema)
        for _ in range(HARD_DEPTH):
            added: list[Any] = []
            if "$ref" in merged:
                added.append(self._referred(str(merged.pop("$ref"))))
            added.extend(merged.pop("allOf", ()))
            added.extend(self._alternative(merged.pop(key), depth) for key in ("anyOf", "oneOf") if merged.get(key))
            if not added:
                return merged
            for each in added:
                if not isinstance(each, Mapping):
                    raise UnsupportedSchemaError(f"{each!r} allows no value")
                merged = _both(merged, each)
        raise UnsupportedSchemaError("it refers to itself without end")

    def _alternative(self, alternatives: list[Any], depth: int) -> Any:
        """Return one alternative; deep inside one without members, if there is one."""
        if depth < MAX_DEPTH:
            return next((each for each in alternatives if each != {"type": "null"}), alternatives[0])
        plain = [
            each for each in alternatives if isinstance(each, Mapping) and not {"$ref", "properties"} & each.keys()
        ]
        return (plain or alternatives)[-1]

    def _referred(self, reference: str) -> Any:
        found = self._document
        if not reference.startswith("#"):
            raise UnsupportedSchemaError(f"$ref {reference!r} is not in the schema")
        for step in filter(None, reference[1:].split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                raise UnsupportedSchemaError(f"$ref {reference!r} is not in the schema")
            found = found[key]
        return found

    @staticmethod
    def _type(schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = [each for each in kind if each != "null"]
            return "null" if not kinds or (depth >= MAX_DEPTH and "null" in kind) else str(kinds[0])
        return str(kind or next((TYPE_OF_KEYWORD[key] for key in schema if key in TYPE_OF_KEYWORD), "string"))

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", ())
        names = [name for name in properties if name in required or depth < MAX_DEPTH]
        made = {name: self.make(properties[name], depth + 1) for name in names}
        others = schema.get("additionalProperties", True)
        for name in (*required, *(f"key_{number}" for number in range(schema.get("minProperties", 0)))):
            if name not in made and (name in required or len(made) < schema.get("minProperties", 0)):
                made[name] = self.make(others, depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        least = schema.get("minItems", 0)
        wanted = max(least, len(first), int(depth < MAX_DEPTH))
        rest = schema.get("items", schema.get("contains", True))
        wanted = min(wanted, schema.get("maxItems", wanted), wanted if rest is not False else len(first))
        made: list[Any] = []
        for number in range(wanted):
            item = first[number] if number < len(first) else rest
            made.append(self._another(item, made, depth) if schema.get("uniqueItems") else self.make(item, depth + 1))
        return made

    def _another(self, schema: object, made: list[Any], depth: int) -> Any:
        """Return a value that is not among `made`, as far as chance finds one."""
        for _ in range(HARD_DEPTH):
            value = self.make(schema, depth + 1)
            if value not in made:
                return value
        raise UnsupportedSchemaError("uniqueItems: there are not enough different values")

    def _string(self, schema: Mapping[str, Any], _depth: int) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if "pattern" in schema:
            try:
                return matching(str(schema["pattern"]), self._rng, least, most)
            except (ValueError, re.error) as error:
                raise UnsupportedSchemaError(f"pattern {schema['pattern']!r}: {error}") from error
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        text = self._rng.choice(WORDS)
        while len(text) < least:
            text += " " + self._rng.choice(WORDS)
        return text[: least if most is not None and len(text) > most >= least else None][:most]

    def _integer(self, schema: Mapping[str, Any], _depth: int) -> int:
        step = schema.get("multipleOf", 1)
        step = step if float(step).is_integer() else 1
        low, high = _bounds(schema, 1)
        return int(step) * self._between(ceil(low / step), floor(high / step), schema)

    def _number(self, schema: Mapping[str, Any], _depth: int) -> float:
        if "multipleOf" in schema:
            step = schema["multipleOf"]
            low, high = _bounds(schema, step)
            return float(round(step * self._between(ceil(low / step), floor(high / step), schema), 10))
        low, high = _bounds(schema, 0.001)
        if low > high:
            raise UnsupportedSchemaError(f"no number is within {dict(schema)!r}")
        inside = round(self._rng.uniform(low, high), 2)
        return inside if low <= inside <= high else (low + high) / 2

    def _between(self, low: int, high: int, schema: Mapping[str, Any]) -> int:
        if low > high:
            raise UnsupportedSchemaError(f"no number is within {dict(schema)!r}")
        return self._rng.randint(low, high)


def _bounds(schema: Mapping[str, Any], margin: float) -> tuple[float, float]:
    """Return the least and the greatest number; `margin` is the distance from an exclusive bound."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    lows = [bound for bound in (low, above + margin if above is not None else None) if bound is not None]
    highs = [bound for bound in (high, below - margin if below is not None else None) if bound is not None]
    least = max(lows) if lows else min(1, *highs) if highs else 1
    return least, min(highs) if highs else max(100, least + 100)


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that demands what both demand, as far as their keywords can be put together."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys((*one["required"], *other["required"])))
    for key, choose in (("minimum", max), ("minLength", max), ("maximum", min), ("maxLength", min)):
        if key in one and key in other:
            merged[key] = choose(one[key], other[key])
    if "enum" in one and "enum" in other:
        merged["enum"] = [value for value in one["enum"] if value in other["enum"]]
    return merged
