"""From a file to settings: read, expand, validate, check; one error names everything that is wrong.

Lives here: the order of the steps.  Not here: reading YAML (source), rules between keys (checks), the wording of
findings (validation), watching files for changes (gateway.discovery.static).
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config import source
from gateway.config.certificates import gateway_file_problems
from gateway.config.checks import check
from gateway.config.pools import PoolSettings
from gateway.config.problems import ConfigurationError, Problems
from gateway.config.schema import nearest_key
from gateway.config.settings import ModelSettings, Settings
from gateway.config.tls import GatewayTlsSettings, ListenTlsSettings, TlsSettings
from gateway.config.validation import joined, rule

__all__ = ["ConfigurationError", "load", "load_models", "load_with_models"]

_Tls = TypeVar("_Tls", TlsSettings, ListenTlsSettings, GatewayTlsSettings)

MAX_ROUNDS = 9
"""How often a file is validated at most: a mended value may show another that is wrong.  Two rounds are usual."""


def _unused_address(number: int) -> str:
    return f"[100::{number:x}]:1"  # RFC 6666: nothing is there


_FILLERS: Mapping[int | str, Callable[[int], Any]] = {
    "name": "mended-{}".format,
    "adapters": "mended-{}".format,
    "address": _unused_address,
    "workers": _unused_address,
    "models": lambda number: {"name": f"mended-{number}"},
    "endpoints": lambda number: {"address": _unused_address(number)},
}
"""Values that stand for a wrong one which must be there, or by whose place in a list others are counted; by key."""


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


def load_with_models(
    path: Path,
    environ: Mapping[str, str],
    strategies: Collection[str],
    file_problems: Callable[[Settings], Iterable[str]] = gateway_file_problems,
) -> Settings:
    """Return the settings in the file, with the models of its models file as `models`.

    `file_problems` (certificates) reads the files of TLS that whoever asks will need; a gateway needs its own alone.
    Raises ConfigurationError with every problem of all files, each after the path of the file that must be changed.
    """
    settings, problems = _settings_in(path, environ, strategies)
    lines = _located(path, [*problems.lines(), *file_problems(settings)])
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
    data = _expanded(path, source.read(path, problems), environ, problems)
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ConfigurationError((f"{path}: must be a mapping of keys",))
    source.add_environment(data, environ)
    settings = _with_paths(_validated(data, strategies, problems), path)
    eds_file = Path(settings.envoy.eds_file)
    if settings.envoy.eds_file and (
        eds_file.is_dir() or eds_file in (path.absolute(), Path(settings.models_file).absolute())
    ):
        problems.add_value("envoy.eds_file", str(eds_file), "must be a file of its own, which the gateway writes")
    return settings, problems


def _with_paths(settings: Settings, path: Path) -> Settings:
    """Return the settings of the file at `path`, with relative paths started at its folder.

    Those for Envoy, which has another working directory, of certificates and of the kubeconfig are absolute.
    """
    folder, listen, envoy = path.absolute().parent, settings.listen, settings.envoy
    listen = listen.model_copy(update={"tls": _from(folder, listen.tls)})
    tls, gateway_tls = _from(folder, envoy.tls), _from(folder, envoy.gateway_tls)
    eds_file = _in(folder, envoy.eds_file)
    envoy = envoy.model_copy(update={"eds_file": eds_file, "tls": tls, "gateway_tls": gateway_tls})
    kubeconfig = _in(folder, settings.kubernetes.kubeconfig)
    kubernetes = settings.kubernetes.model_copy(update={"kubeconfig": kubeconfig})
    models_file = _in(path.parent, settings.models_file)
    pools = tuple(_pool_from(folder, pool) for pool in settings.pools)
    return settings.model_copy(
        update={"listen": listen, "envoy": envoy, "kubernetes": kubernetes, "models_file": models_file, "pools": pools}
    )


def _from(folder: Path, tls: _Tls) -> _Tls:
    """Return the settings with the paths of their files started at the folder."""
    files = {name: getattr(tls, name) for name in ("cert", "key", "ca", "client_ca") if hasattr(tls, name)}
    return tls.model_copy(update={name: _in(folder, file) for name, file in files.items()})


def _pool_from(folder: Path, pool: PoolSettings) -> PoolSettings:
    """Return the pool with the paths of its API's files started at the folder."""
    if pool.api is None:
        return pool
    files = {"key_file": _in(folder, pool.api.key_file), "ca": _in(folder, pool.api.ca)}
    return pool.model_copy(update={"api": pool.api.model_copy(update=files)})


def _in(folder: Path, file: str) -> str:
    """Return the path of a file that is named from the folder, empty where no file is named."""
    return str(folder / file) if file else ""


def _expanded(path: Path, data: Any, environ: Mapping[str, str], problems: Problems, key: str = "") -> Any:
    try:
        return source.expand(data, environ, problems, key)
    except RecursionError as error:
        raise ConfigurationError((f"{path}: must not contain itself, by an alias of YAML",)) from error


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
    models = _expanded(path, models, environ, problems, "models")
    return _validated({"models": [] if models is None else models}, strategies, problems).models, problems


def _validated(data: dict[str, Any], strategies: Collection[str], problems: Problems) -> Settings:
    """Return the settings, with something in the place of each value that is not sound by itself.

    They are checked against each other as far as they are sound, so that one look finds everything.
    """
    for _ in range(MAX_ROUNDS):
        try:
            settings = Settings.model_validate(data)
            break
        except ValidationError as error:
            details = [each for each in error.errors(include_url=False) if not _is_of_items(each)]
            for detail in details:
                _add(detail, problems)
            for number, detail in enumerate(reversed(details)):  # from the end, so that places in lists stay
                _mend(data, detail["loc"], number)
    else:
        settings = Settings()
    check(settings, strategies, problems)
    return settings


def _mend(data: dict[str, Any], location: Sequence[int | str], number: int) -> None:
    """Remove the value at the location, or put one in its place that is sound and unlike all others."""
    *parents, last = location
    key = last if isinstance(last, str) else parents[-1]
    try:
        parent: Any = data
        for step in parents:
            parent = parent[step]
        if key in _FILLERS:
            parent[last] = _FILLERS[key](number)
        else:
            parent.pop(last)
    except (LookupError, TypeError, AttributeError):  # no place in the file: the whole section goes
        data.pop(str(location[0]), None)


def _is_of_items(detail: ErrorDetails) -> bool:
    """Return whether a list counts as too short only because pydantic counts its sound items."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


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
