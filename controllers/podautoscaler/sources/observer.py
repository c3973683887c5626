"""Sees the targets of PodAutoscalers: asks all their sources at the same time, and puts an observation together.

Lives here: what is remembered between two observations, and the values of a target as a whole.  Not here: its pods
(pods), the calls (pages, apis, arrivals), what is decided (autoscaling).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autoscaling.arrivals import Seen
from autoscaling.observation import Observation
from autoscaling.spec import REPLICAS_METRIC, Source, SourceKind, Spec, StrategyName, Target
from controllers.podautoscaler.observing import Observed, ScaledPod
from controllers.podautoscaler.sources.apis import MetricsApis
from controllers.podautoscaler.sources.arrivals import arrivals
from controllers.podautoscaler.sources.engines import Engines
from controllers.podautoscaler.sources.pages import Pages, SourceError, url
from controllers.podautoscaler.sources.pods import ENGINE, Pods
from kube.client import Client
from traffic.store import TraceStore

PLAIN_REPLICAS = "gpuopt_replicas"
"""The gauge beside REPLICAS_METRIC by which an optimizer of Forebay tells the replicas themselves, not 100 for each
(docs/contracts.md, section 6).  Pages of others do not have it, and count replicas."""


@dataclass(slots=True)
class _Memory:
    """The things that differences to the observation before are made of."""

    engines: Engines = field(default_factory=Engines)
    window_s: float | None = None  # start of the last window of traffic that was read


class Sources:
    """An Observer (controllers.podautoscaler.observing).  `now_s` returns seconds since the epoch."""

    def __init__(self, client: Client, pages: Pages, traces: TraceStore, now_s: Callable[[], float]) -> None:
        self._apis = MetricsApis(client)
        self._pages = pages
        self._pods = Pods(pages, self._apis, now_s)
        self._traces = traces
        self._now_s = now_s
        self._memories: dict[Target, _Memory] = {}

    async def observe(
        self, spec: Spec, model: str, pods: Sequence[ScaledPod], starting: int, draining: int
    ) -> Observed:
        """Return what is seen of the target now; each of its sources is asked once, all at the same time."""
        memory = self._memories.setdefault(spec.target, _Memory())
        memory.engines.keep({pod.name for pod in pods})
        ready = [pod for pod in pods if pod.is_ready]
        sources = (ENGINE,) if spec.strategy is StrategyName.SLO else spec.sources
        failures: list[str] = []
        look, traffic, external = await asyncio.gather(
            self._pods.look(sources, spec.target.namespace, ready, memory.engines),
            self._traffic(spec, model, memory, failures),
            self._external(spec, failures),
        )
        observation = Observation(
            now_s=self._now_s(),
            ready=len(ready),
            starting=starting,
            draining=draining,
            pods=look.readings,
            external=external,
            arrivals=traffic.arrivals,
            queued=traffic.queued,
            latency=look.latency,
        )
        return Observed(observation, (*look.failures, *failures))

    def forget(self, target: Target) -> None:
        """Let go of what is remembered of a target."""
        self._memories.pop(target, None)

    async def _traffic(self, spec: Spec, model: str, memory: _Memory, failures: list[str]) -> Seen:
        """Return the model's traffic, which strategy SLO alone needs."""
        seen = Seen(None, None, memory.window_s)
        if spec.strategy is not StrategyName.SLO:
            return seen
        try:
            if not model:
                raise SourceError(f"{spec.target.kind} {spec.target.name} does not say which model it serves")
            seen = await arrivals(self._traces, model, spec.target, memory.window_s, self._now_s())
        except SourceError as error:
            failures.append(str(error))
        memory.window_s = seen.last_s
        return seen

    async def _external(self, spec: Spec, failures: list[str]) -> dict[str, float]:
        """Return the values of the target as a whole."""
        sources = [source for source in spec.sources if source.kind is SourceKind.EXTERNAL]
        values = await asyncio.gather(*(self._value(source, spec.target.namespace) for source in sources))
        failures.extend(value for value in values if isinstance(value, str))
        return {
            source.metric: value for source, value in zip(sources, values, strict=True) if not isinstance(value, str)
        }

    async def _value(self, source: Source, namespace: str) -> float | str:
        """Return a value, or why there is none."""
        try:
            if not source.endpoint:
                return await self._apis.external(source, namespace)
            address = url(source, source.endpoint)
            page = await self._pages.of_server(address)
        except SourceError as error:
            return str(error)
        names = (PLAIN_REPLICAS, source.metric) if source.metric == REPLICAS_METRIC else (source.metric,)
        values = [value for name in names if (value := page.value(name)) is not None]
        return values[0] if values else f"{address} has no metric {source.metric}"
