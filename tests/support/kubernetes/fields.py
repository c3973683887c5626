"""Fields of objects that Kubernetes does not have, found without a server: by lightkube's models of its own kinds.

Lives here: names of fields.  Not here: their values, and kinds of CRDs, which a real API server checks.
"""

import importlib.util
import typing
from collections.abc import Iterator
from typing import Any

import msgspec


def unknown_fields(value: object, kind: object, path: str) -> Iterator[str]:
    """The fields in `value` that Kubernetes' type, one of lightkube's models, does not have."""
    if type(None) in typing.get_args(kind):  # Optional
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if isinstance(value, list) and typing.get_origin(kind) is list:
        for index, each in enumerate(value):
            yield from unknown_fields(each, typing.get_args(kind)[0], f"{path}[{index}]")
    elif isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        for name, each in value.items():
            if name in types:
                yield from unknown_fields(each, types[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"


def wrong_fields(one: dict[str, Any]) -> list[str] | None:
    """Return the unknown fields of an object; None for a kind that is not Kubernetes' own."""
    group, _, version = one["apiVersion"].rpartition("/")
    module = f"lightkube.models.{group.partition('.')[0] or 'core'}_{version}"
    if importlib.util.find_spec(module) is None:
        return None
    return list(unknown_fields(one, getattr(importlib.import_module(module), one["kind"]), one["kind"]))
