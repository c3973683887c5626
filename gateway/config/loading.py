"""From a file to settings: read, expand, validate, check; one error names everything that is wrong.

Lives here: the order of the steps.  Not here: reading YAML (source), rules between keys (checks), the wording of
findings (validation), watching files for changes (gateway.discovery.static).
"""

import re
from collections.abc import Collection, Iterable, Mapping
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

__all__ = ["ConfigurationError", "load", "load_models", "load_with_models"]


def load(path: Path, environ: Mapping[str, str], strategies: Collection[str]) -> Settings:
    """Return the settings in the file, with defaults for absent keys; a relative `models_file` starts at its folder.

    `strategies` are the valid strategy names.  Raises ConfigurationError with every problem.
    """
    settings, problems = _settings_in(path, environ, strategies)
    problems.raise_if_any()
    return settings


def load_models(path: Path, environ: Mapping[str, str], strategies: Collection[str]) -> tuple[ModelSettings, ...]:
    """Return the models in a models file: a list, or a mapping with the one key `models`.  Only `[]` is no models.

    Raises ConfigurationError with every problem.
    """
    models, problems = _models_in(path, environ, strategies)
    problems.raise_if_any()
    return models


def load_with_models(path: Path, environ: Mapping[str, str], strategies: Collection[str]) -> Settings:
    """Return the settings in the file, with the models of its models file as `models`.

    Raises ConfigurationError with every problem of both files, each after the path of its file.
    """
    settings, problems = _settings_in(path, environ, strategies)
    lines = _located(path, problems.lines())
    if settings.models_file and not problems.concerns("models_file"):
        file = Path(settings.models_file)
        try:
            models, problems = _models_in(file, environ, strategies)
            settings = settings.model_copy(update={"models": models})
            lines += _located(file, problems.lines())
        except ConfigurationError as error:  # it cannot be read at all
            lines += _located(file, error.problems)
    if lines:
        raise ConfigurationError(tuple(lines))
    return settings


def _located(path: Path, lines: Iterable[str]) -> list[str]:
    """Return the lines with the path in front, unless they begin with it."""
    return [line if line.startswith(f"{path}: ") else f"{path}: {line}" for line in lines]


def _settings_in(path: Path, environ: Mapping[str, str], strategies: Collection[str]) -> tuple[Settings, Problems]:
    """Return the settings of those sections that are sound, and what is wrong with the others.

    Raises ConfigurationError when the file is no mapping of keys.
    """
    problems = Problems()
    data = source.expand(source.read(path, problems), environ, problems)
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ConfigurationError((f"{path}: must be a mapping of keys",))
    source.add_environment(data, environ)
    settings = _validated(data, strategies, problems)
    if settings.models_file:
        settings = settings.model_copy(update={"models_file": str(path.parent / settings.models_file)})
    return settings, problems


def _models_in(
    path: Path, environ: Mapping[str, str], strategies: Collection[str]
) -> tuple[tuple[ModelSettings, ...], Problems]:
    """Return the models of a models file, none if they are not sound, and what is wrong with them.

    Raises ConfigurationError when it has no list at all: a file that is just being written must not empty the fleet.
    """
    problems = Problems()
    data = source.read(path, problems)
    models = data.pop("models", None) if isinstance(data, dict) else data
    for name in data if isinstance(data, dict) else ():
        problems.add(str(name), f"{name} is unknown in a models file, did you mean models?")
    if models is None and not problems.lines():
        raise ConfigurationError((f"{path}: has no list of models, must say [] if there are none",))
    for index, model in enumerate(models if isinstance(models, list) else ()):
        if isinstance(model, dict) and "endpoints" in model and model["endpoints"] is None:
            problems.add(f"models[{index}].endpoints", f"models[{index}].endpoints has no value, must be a list or []")
    models = source.expand(models, environ, problems, "models")
    return _validated({"models": [] if models is None else models}, strategies, problems).models, problems


def _validated(data: dict[str, Any], strategies: Collection[str], problems: Problems) -> Settings:
    """Return the settings of the sections that are sound by themselves, after these were checked against each other."""
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _add(detail, problems)
        settings = Settings.model_validate({key: data[key] for key in _sound(data, error)})
    check(settings, strategies, problems)
    return settings


def _sound(data: dict[str, Any], error: ValidationError) -> set[str]:
    return set(data) - {detail["loc"][0] for detail in error.errors() if detail["loc"]}


def _add(detail: ErrorDetails, problems: Problems) -> None:
    """Add one of pydantic's findings in our words."""
    key = joined(detail["loc"])
    parent, _, name = key.rpartition(".")
    if detail["type"] == "extra_forbidden":
        section = re.sub(r"\[\d+\]", "[]", parent)
        problems.add(key, f"{key} is unknown, {nearest_key(section, name)}")
    elif detail["type"] == "missing":
        problems.add(key, f"{key} is missing, it has no default")
    else:
        problems.add_value(key, detail["input"], rule(detail))
