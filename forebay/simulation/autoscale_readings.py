"""Observations of a fleet in virtual time: what an autoscaler would read of its pods, gateways and latencies.

Lives here: counting and reading.  Not here: the values (autoscaling.observation), decisions (autoscaling), the fleet.
"""

from collections.abc import Iterable, Mapping

from autoscaling.observation import Arrivals, Latency, Observation, PodReading
from autoscaling.readings import FIELDS, IN_FLIGHT
from autoscaling.spec import SourceKind, Spec
from forebay.simulation.elastic_fleet import ElasticFleet
from routing.strategy import Finished
from routing.types import PodId, RouteRequest
from simulator.core.engine import Engine

READ = (SourceKind.POD, SourceKind.CUSTOM)
"""The kinds of sources that engine models stand for."""


def check_sources(spec: Spec) -> None:
    """Raise ValueError when a specification names a metric that engine models do not have."""
    for source in spec.sources:
        name = source.metric.rpartition(":")[2]
        if source.kind not in READ or (name not in FIELDS and name != IN_FLIGHT):
            raise ValueError(
                f"metric {source.metric} of source {source.kind}: a simulation has of pods only "
                f"{', '.join(sorted([*FIELDS, IN_FLIGHT]))}"
            )


class ArrivalCounts:
    """Counts requests and tokens between two observations."""

    def __init__(self) -> None:
        self._since_s = 0.0
        self._requests = self._input_tokens = self._output_tokens = 0

    def arrived(self, request: RouteRequest) -> None:
        """Count an arrival."""
        self._requests += 1
        self._input_tokens += request.prompt_tokens

    def sent(self, deployment: str) -> None:
        """Count nothing: there is one deployment."""

    def finished(self, event: Finished) -> None:
        """Count the tokens of an answer."""
        self._output_tokens += event.output_tokens or 0

    def arrivals(self, now_s: float) -> Arrivals:
        """Return what was counted since the last call, and begin anew."""
        counted = Arrivals(self._requests, now_s - self._since_s, self._input_tokens, self._output_tokens)
        self._since_s = now_s
        self._requests = self._input_tokens = self._output_tokens = 0
        return counted


class LatencyCounts:
    """Takes differences of the sums that all engines count."""

    def __init__(self) -> None:
        self._before = (0.0, 0, 0.0, 0)

    def latency(self, engines: Iterable[Engine]) -> Latency:
        """Return the latencies since the last call."""
        totals = [engine.totals for engine in engines]
        now = (
            sum(each.ttft_sum_s for each in totals), sum(each.ttft_count for each in totals),
            sum(each.itl_sum_s for each in totals), sum(each.itl_count for each in totals),
        )  # fmt: skip
        ttft_s, ttfts, itl_s, itls = (after - before for after, before in zip(now, self._before, strict=True))
        self._before = now
        return Latency(
            max(0.0, ttft_s) / ttfts if ttfts else None, ttfts, max(0.0, itl_s) / itls if itls else None, itls
        )


def observation(now_s: float, fleet: ElasticFleet, arrivals: Arrivals, latency: Latency) -> Observation:
    """Return what an autoscaler sees of a fleet of one type."""
    wanted = [each for each in fleet.replicas if each.is_wanted]
    ready = [each.endpoint.id for each in wanted if each.is_serving]
    return Observation(
        now_s=now_s,
        ready=len(ready),
        starting=len(wanted) - len(ready),
        draining=sum(not each.is_wanted and each.ended_s > now_s for each in fleet.replicas),
        pods=tuple(_reading(pod, fleet.engines) for pod in ready),
        arrivals=arrivals,
        latency=latency,
    )


def _reading(pod: PodId, engines: Mapping[PodId, Engine]) -> PodReading:
    engine = engines[pod]
    prefilling = (each for each in engine.running if each not in engine.decoding)
    return PodReading(
        pod,
        running=len(engine.running),
        waiting=len(engine.waiting),
        kv_usage=engine.blocks.usage,
        waiting_tokens=sum(each.prompt_tokens + each.generated for each in engine.waiting),
        prefill_tokens=sum(each.prompt_tokens + each.generated - each.computed for each in prefilling),
    )
