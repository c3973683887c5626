"""The metrics APIs of a cluster: metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.

Lives here: their paths, what is read of their answers, units.  Not here: when they are asked (observer).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from autoscaling.spec import Source, SourceKind
from controllers.podautoscaler.sources.pages import ANSWER_S, SourceError
from kube.client import Client, Selection
from kube.errors import ApiError
from kube.objects import Kind, Object
from kube.quantities import parse

T = TypeVar("T", bound=Object)
Quantity = str | int | float

UNITS = {"cpu": 1000.0, "memory": 1 / (1 << 20)}
"""Targets of resources are thousandths of a core, and MiB, as strategy HPA reads them."""


class _Container(msgspec.Struct, frozen=True):
    usage: dict[str, Quantity] = {}


class _PodUsage(Object, frozen=True):
    containers: tuple[_Container, ...] = ()

    def has(self, resource: str) -> bool:
        """Whether the use of every container is told: a sum without one of them would be too low."""
        return bool(self.containers) and all(resource in one.usage for one in self.containers)

    def of(self, resource: str) -> float:
        """Return the use of all containers together."""
        return sum(_number(one.usage[resource]) for one in self.containers) * UNITS.get(resource, 1.0)


class _Described(msgspec.Struct, frozen=True):
    name: str = ""


class _PodValue(Object, frozen=True, rename="camel"):
    described_object: _Described = _Described()
    value: Quantity = ""


class _Value(Object, frozen=True):
    value: Quantity = ""


USAGES = Kind("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", _PodUsage)


class MetricsApis:
    """Reads them through the API server, whatever serves them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of_pods(self, source: Source, namespace: str) -> Mapping[str, float]:
        """Return the values of all pods of a namespace that have one, by name.  Raises SourceError."""
        if source.kind is SourceKind.RESOURCE:
            usages = await self._list(USAGES, source, namespace)
            return {one.metadata.name: one.of(source.metric) for one in usages if one.has(source.metric)}
        plural = f"pods/*/{quote(source.metric, safe='')}"
        kind = Kind("custom.metrics.k8s.io", "v1beta2", "MetricValue", plural, _PodValue)
        return {one.described_object.name: _number(one.value) for one in await self._list(kind, source, namespace)}

    async def external(self, source: Source, namespace: str) -> float:
        """Return the sum of the values of an external metric, as an HPA reads it.  Raises SourceError."""
        plural = quote(source.metric, safe="")
        kind = Kind("external.metrics.k8s.io", "v1beta1", "ExternalMetricValue", plural, _Value)
        if not (values := await self._list(kind, source, namespace)):
            raise SourceError(f"external.metrics.k8s.io has no value of {source.metric} in namespace {namespace}")
        return sum(_number(one.value) for one in values)

    async def _list(self, kind: Kind[T], source: Source, namespace: str) -> Sequence[T]:
        try:
            async with asyncio.timeout(ANSWER_S):
                found, _ = await self._client.list(kind, Selection(namespace))
        except TimeoutError as error:
            raise SourceError(f"{kind.group}, metric {source.metric}: no answer in {ANSWER_S:g} s") from error
        except ApiError as error:
            raise SourceError(f"{kind.group}, metric {source.metric}: {error}") from error
        return found


def _number(value: Quantity) -> float:
    try:
        return parse(value)
    except ValueError as error:
        raise SourceError(f"a metrics API answered {error}") from error
