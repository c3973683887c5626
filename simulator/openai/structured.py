"""Answers of a form that the client demands: JSON by a schema, any JSON object, a choice, a regular expression.

Lives here: the forms, by OpenAI's and vLLM's fields.  Not here: values by a schema (instances), text of a free form
(writing).
"""

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import orjson

from simulator.openai.errors import ApiError, ParameterError
from simulator.openai.instances import UnsupportedSchemaError, instance
from simulator.openai.patterns import matching

Maker = Callable[[Random], str]
"""Makes one answer of the form."""

ANY_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}, "count": {"type": "integer"}}}
"""The schema of an object when the client names none (chosen)."""


def form_of(body: Mapping[str, Any]) -> Maker | None:
    """Return what makes an answer of the form that a body demands; None = text of a free form.  Raises ApiError."""
    demanded = body.get("structured_outputs")
    if demanded is None:
        demanded = {key.removeprefix("guided_"): value for key, value in body.items() if key.startswith("guided_")}
    for kind, value in demanded.items() if isinstance(demanded, Mapping) else ():
        if value is not None and kind in _FORMS:
            return checked(_FORMS[kind](value))
        if value is not None and kind in {"grammar", "structural_tag"}:
            raise ApiError(f"The simulated engine makes no answers by a {kind}.", kind)
    return response_format(body.get("response_format"), "response_format")


def response_format(demanded: Any, param: str) -> Maker | None:
    """Return what makes an answer by `response_format`, or by `text.format` of the responses API."""
    if demanded is None:
        return None
    kind = demanded.get("type") if isinstance(demanded, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return by_schema(ANY_OBJECT)
    if kind == "json_schema":
        named = demanded.get("json_schema", demanded)
        schema = named.get("schema", named.get("json_schema")) if isinstance(named, Mapping) else None
        if not isinstance(schema, Mapping):
            raise ParameterError("a json_schema without a schema", param)
        return checked(by_schema(schema))
    raise ParameterError(f"type = {kind!r}, must be text, json_object or json_schema", param)


def by_schema(schema: object) -> Maker:
    """Return what makes JSON text that is valid for the schema."""
    return lambda rng: orjson.dumps(instance(schema, rng)).decode()


def checked(maker: Maker) -> Maker:
    """Return `maker`, after it has made one answer.  Raises ApiError when it cannot."""
    try:
        maker(Random(0))  # noqa: S311  # no secret
    except UnsupportedSchemaError as error:
        raise ApiError(f"The simulated engine cannot make a value for this JSON schema: {error}.") from error
    except (re.error, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ApiError(f"Invalid JSON schema or regular expression: {error}") from error
    return maker


def _json(value: Any) -> Maker:
    def make(rng: Random) -> str:
        return by_schema(orjson.loads(value) if isinstance(value, str) else value)(rng)

    return make


_FORMS: Mapping[str, Callable[[Any], Maker]] = {
    "json": _json,
    "json_object": lambda _: by_schema(ANY_OBJECT),
    "choice": lambda choices: lambda rng: str(rng.choice(choices)),
    "regex": lambda pattern: lambda rng: matching(str(pattern), rng),
}
"""vLLM's forms: what is beneath `structured_outputs`, or follows `guided_` in the older names."""
