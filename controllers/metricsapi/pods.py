"""Metrics of pods, for HorizontalPodAutoscalers: read from the pods' own pages when one asks.

Lives here: which pods, and where their pages are.  Not here: reading them (the autoscaler's sources), the JSON
(answers).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from autoscaling.exposition import KV_USAGE, RUNNING, WAITING
from autoscaling.spec import Source, SourceKind, Spec
from autoscaling.spec_reading import SpecError, read
from controllers.metricsapi.answers import MissingError
from controllers.podautoscaler.objects import AUTOSCALERS, PODS, Pod
from controllers.podautoscaler.observing import ScaledPod
from controllers.podautoscaler.sources.engines import Engines
from controllers.podautoscaler.sources.pods import ENGINE, Pods
from controllers.podautoscaler.targets import scaled
from kube.client import Client, Selection
from kube.errors import ApiError, NotFound
from kube.models import owner_of

METRICS = (KV_USAGE, "gpu_cache_usage_perc", RUNNING, WAITING)
"""The metrics that are listed; any other that is on the page of a pod is served too."""
ALL = "*"
MOST_REMEMBERED = 256
"""Selections of pods of which it is known which engines began anew; beyond that all are forgotten (chosen)."""


class PodMetrics:
    """Reads metrics of pods."""

    def __init__(self, client: Client, pods: Pods) -> None:
        self._client, self._pods = client, pods
        self._engines: dict[tuple[str, ...], Engines] = {}

    async def read(self, metric: str, namespace: str, name: str, labels: str) -> Mapping[str, float]:
        """Return the values of ready pods by name: of the one called so, or (ALL) of those with these labels.

        Raises MissingError where there is none.
        """
        try:
            pods, specs = await asyncio.gather(self._ready(namespace, name, labels), self._specs(namespace))
        except ApiError as error:
            raise MissingError(f"{metric}: {error}") from error
        engines = self._remembered(namespace, name, labels)
        engines.keep({pod.metadata.name for pod in pods})
        by_source: dict[Source, list[ScaledPod]] = {}
        for pod in pods:
            by_source.setdefault(source_of(pod, metric, specs), []).append(scaled(pod))
        looks = await asyncio.gather(
            *(self._pods.look([source], namespace, some, engines) for source, some in by_source.items())
        )
        values = {one.name: one.metrics[metric] for look in looks for one in look.readings if metric in one.metrics}
        if not values:
            why = "; ".join(failure for look in looks for failure in look.failures) or "no such pod is ready"
            raise MissingError(f"{metric} of pods in namespace {namespace}: {why}")
        return values

    async def _ready(self, namespace: str, name: str, labels: str) -> Sequence[Pod]:
        pods, _ = await self._client.list(PODS, Selection(namespace, labels))
        return [pod for pod in pods if pod.is_serving and name in (ALL, pod.metadata.name)]

    async def _specs(self, namespace: str) -> Sequence[Spec]:
        """Return the autoscalers of the namespace that can be read; those that cannot say so themselves."""
        specs = []
        with suppress(NotFound):  # there is no such kind
            found, _ = await self._client.list(AUTOSCALERS, Selection(namespace))
            for one in found:
                with suppress(SpecError):
                    specs.append(read(one.document()))
        return specs

    def _remembered(self, *selection: str) -> Engines:
        if selection not in self._engines and len(self._engines) >= MOST_REMEMBERED:
            self._engines.clear()
        return self._engines.setdefault(selection, Engines())


def source_of(pod: Pod, metric: str, specs: Iterable[Spec]) -> Source:
    """Return where a pod's metric is: as the autoscaler of its target says, else on the page of its engine."""
    owner = owner_of(pod.metadata)
    for spec in specs:
        if owner == (spec.target.kind, spec.target.name):
            for source in spec.sources:
                if source.kind is SourceKind.POD and source.metric == metric:
                    return source
    return replace(ENGINE, metric=metric)
