"""From a file to settings: read, expand, validate, check; every problem is found before one error names them all.

Lives here: the order of the steps and the wording of validation errors.  Not here: watching files for changes
(gateway.discovery.static).
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config import source
from gateway.config.checks import check
from gateway.config.problems import ConfigurationError, Problems
from gateway.config.schema import nearest_key
from gateway.config.settings import ModelSettings, Settings
from gateway.config.validation import joined, rule

__all__ = ["ConfigurationError", "load", "load_models", "with_models"]


def load(path: Path, environ: Mapping[str, str], strategies: Collection[str]) -> Settings:
    """The settings in the file, defaults where it is silent; `models_file` becomes relative to the file's folder.

    `strategies` are the valid strategy names.  Raises ConfigurationError with every problem.
    """
    problems = Problems()
    data = source.expand(source.read(path, problems), environ, problems)
    data = {} if data is None else data
    if not isinstance(data, dict):
        problems.add_value(str(path), data, "must be a mapping of keys")
        problems.raise_if_any()
    source.add_environment(data, environ)
    settings = _validate(data, strategies, problems)
    if settings.models_file:
        return settings.model_copy(update={"models_file": str(path.parent / settings.models_file)})
    return settings


def load_models(path: Path, environ: Mapping[str, str], strategies: Collection[str]) -> tuple[ModelSettings, ...]:
    """The models in a file of their own: a list, or a mapping with the one key `models`.  Raises ConfigurationError."""
    problems = Problems()
    data = source.expand(source.read(path, problems), environ, problems)
    models = data.pop("models", []) if isinstance(data, dict) else data
    if isinstance(data, dict):
        for name in data:
            problems.add(str(name), f"{name} is unknown in a models file, did you mean models?")
    return _validate({"models": models or []}, strategies, problems).models


def with_models(settings: Settings, environ: Mapping[str, str], strategies: Collection[str]) -> Settings:
    """The same settings with the models of `models_file` in place.  Raises ConfigurationError."""
    if not settings.models_file:
        return settings
    models = load_models(Path(settings.models_file), environ, strategies)
    return settings.model_copy(update={"models": models})


def _validate(data: dict[str, Any], strategies: Collection[str], problems: Problems) -> Settings:
    """Settings from data.  After value problems the sound sections are still checked against each other."""
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _add(detail, problems)
        settings = Settings.model_validate({key: data[key] for key in _sound(data, error)})
    check(settings, strategies, problems)
    problems.raise_if_any()
    return settings


def _sound(data: dict[str, Any], error: ValidationError) -> set[str]:
    return set(data) - {detail["loc"][0] for detail in error.errors() if detail["loc"]}


def _add(detail: ErrorDetails, problems: Problems) -> None:
    """Note one of pydantic's findings in our words."""
    key = joined(detail["loc"])
    parent, _, name = key.rpartition(".")
    if detail["type"] == "extra_forbidden":
        section = re.sub(r"\[\d+\]", "[]", parent)
        problems.add(key, f"{key} is unknown, {nearest_key(section, name)}")
    elif detail["type"] == "missing":
        problems.add(key, f"{key} is missing, it has no default")
    else:
        problems.add_value(key, detail["input"], rule(detail))
