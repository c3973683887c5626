"""Reads `spec.metricsSources`, with the percent rule for targets.

A ratio is reported in [0, 1], so that a target above 1 of a ratio is percent: `"50"` of `gpu_cache_usage_perc` is 0.5.
The metric `vllm:deployment_replicas` is a number of replicas; its target is the share of one that a replica counts, in
percent above 1: with `"100"` there are as many replicas as the optimizer says, with `"50"` twice as many.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from autoscaling.exposition import is_ratio
from autoscaling.options import number
from autoscaling.spec import REPLICAS_METRIC, Source, SourceKind, StrategyName
from autoscaling.values import Values

RESOURCES = ("cpu", "memory")
PERCENT = 100.0

_KEYS = frozenset({"metricSourceType", "protocolType", "endpoint", "path", "port", "targetMetric", "targetValue"})
_ENDPOINT = re.compile(r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_MOST_PORT = 65_535
_DEPRECATED = "domain"

_REQUIRED: Mapping[SourceKind, tuple[str, ...]] = {
    SourceKind.POD: ("protocolType", "port", "path"),
    SourceKind.EXTERNAL: ("protocolType", "path"),
}
"""Fields that a kind needs; EXTERNAL only with an endpoint, because the cluster's metrics API needs none."""


class _Protocol(StrEnum):
    HTTP = "http"
    HTTPS = "https"


def read_sources(values: Values, value: object, strategy: StrategyName) -> tuple[Source, ...]:
    """Return the sources; only strategy SLO may be without any."""
    path = "spec.metricsSources"
    if not value and strategy is StrategyName.SLO:
        return ()
    items = values.items(path, value)
    if value is not None and not items:
        values.problem(path, value, "must have at least one source")
    sources = tuple(_source(values, f"{path}[{index}]", item) for index, item in enumerate(items))
    _check_together(values, path, sources, strategy)
    if strategy is StrategyName.SLO:
        values.notes.append(f"{path} does nothing with strategy {strategy}.")
    return sources


def _source(values: Values, path: str, value: object) -> Source:
    source = values.mapping(path, value)
    if not source:
        return Source(SourceKind.POD, "", 1.0)
    values.known(path, source, _KEYS)
    kind = _kind(values, path, source)
    metric = values.text(f"{path}.targetMetric", source.get("targetMetric"))
    _check_fields(values, path, source, kind, metric)
    return Source(
        kind=kind,
        metric=metric,
        target=_target(values, f"{path}.targetValue", source.get("targetValue"), metric),
        protocol=values.choice(f"{path}.protocolType", source.get("protocolType") or "http", _Protocol),
        endpoint=_endpoint(values, f"{path}.endpoint", source.get("endpoint")),
        path=_path(source.get("path")),
        port=_port(values, f"{path}.port", source.get("port")),
    )


def _check_together(values: Values, path: str, sources: tuple[Source, ...], strategy: StrategyName) -> None:
    """Note sources that a strategy cannot tell apart, or cannot take together."""
    seen: set[tuple[SourceKind, str]] = set()
    for index, source in enumerate(sources):
        if (source.kind, source.metric) in seen:
            values.problem(f"{path}[{index}].targetMetric", source.metric, "must not be there twice")
        seen.add((source.kind, source.metric))
        if source.metric == REPLICAS_METRIC and len(sources) > 1 and strategy is not StrategyName.HPA:
            values.problem(f"{path}[{index}].targetMetric", source.metric, "must be the only metric")


def _kind(values: Values, path: str, source: Mapping[str, Any]) -> SourceKind:
    name = values.text(f"{path}.metricSourceType", source.get("metricSourceType"))
    return values.choice(f"{path}.metricSourceType", "external" if name == _DEPRECATED else name, SourceKind)


def _check_fields(values: Values, path: str, source: Mapping[str, Any], kind: SourceKind, metric: str) -> None:
    if kind is not SourceKind.EXTERNAL or source.get("endpoint"):
        for name in _REQUIRED.get(kind, ()):
            if not source.get(name):
                values.problem(f"{path}.{name}", None, f"must be there with metricSourceType {kind}")
    if kind is not SourceKind.RESOURCE:
        return
    if metric not in RESOURCES:
        values.problem(f"{path}.targetMetric", metric, f"must be one of {', '.join(RESOURCES)}")
    for name in ("protocolType", "endpoint", "path", "port"):
        if source.get(name):
            values.problem(f"{path}.{name}", source[name], f"must not be there with metricSourceType {kind}")


def _target(values: Values, path: str, value: object, metric: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError("must be a number > 0")
        target = number(str(value), above=True)
    except ValueError as error:
        values.problem(path, value, str(error))
        return 1.0
    if target <= 1 or (metric != REPLICAS_METRIC and not is_ratio(metric)):
        return target
    of = "of a replica" if metric == REPLICAS_METRIC else f"because {metric} is a ratio"
    values.notes.append(f"{path} = {value} is read as percent {of}: {target / PERCENT:g}.")
    return target / PERCENT


def _endpoint(values: Values, path: str, value: object) -> str:
    if not value:
        return ""
    if isinstance(value, str) and _ENDPOINT.fullmatch(value):
        return value
    values.problem(path, value, "must be HOST or HOST:PORT")
    return ""


def _path(value: object) -> str:
    """Return a path with the leading slash that people and pages lose."""
    return "/" + str(value).removeprefix("/") if value else ""


def _port(values: Values, path: str, value: object) -> str:
    text = str(value or "")
    if text and not (text.isdecimal() and 1 <= int(text) <= _MOST_PORT):
        values.problem(path, value, f"must be a number from 1 to {_MOST_PORT}")
        return ""
    return text
