"""Observations of the engines on this machine: their own pages, and the traffic that gateways count in Redis.

Lives here: asking, and what an observation is put together from.  Not here: pages of metrics (autoscaling.exposition),
counters of engines from one look to the next (controllers.podautoscaler.sources.engines), traces (traffic).
"""

import asyncio
from collections.abc import Sequence

from autoscaling.arrivals import Seen, seen_of
from autoscaling.exposition import Exposition, NoExpositionError, parse
from autoscaling.observation import Latency, Observation, PodReading
from autoscaling.spec import Spec
from controllers.podautoscaler.sources.engines import Engines, Step, latency, reading
from forebay.local.engines import MODEL
from forebay.local.fleet import ANSWER_S, Engine
from gateway.discovery.probing.http_get import AnswerError
from gateway.discovery.probing.scraping import HttpFetch, NoPageError
from traffic.connection import RedisAwayError
from traffic.store import TraceStore
from traffic.wakes import Wakes


class Observing:
    """Sees the engines of one model; remembers what makes differences of counters."""

    def __init__(self, spec: Spec, traces: TraceStore, wakes: Wakes) -> None:
        self._metrics = [source.metric for source in spec.sources]
        self._traces = traces
        self._wakes = wakes
        self._engines = Engines()
        self._window_s: float | None = None  # start of the last window of traffic that was read

    async def observe(self, now_s: float, wanted: Sequence[Engine], draining: int) -> Observation:
        """Return what is seen at `now_s` of the engines that serve or start; what cannot be read is absent."""
        serving = [engine for engine in wanted if engine.is_serving]
        self._engines.keep({engine.spec.name for engine in serving})
        pages = await asyncio.gather(*(_page(engine.spec.address) for engine in serving))
        seen = [
            self._see(engine.spec.name, page, now_s)
            for engine, page in zip(serving, pages, strict=True)
            if page is not None
        ]
        traffic = await self._traffic()
        steps = [step for _, step in seen if step is not None]
        return Observation(
            now_s=now_s,
            ready=len(serving),
            starting=len(wanted) - len(serving),
            draining=draining,
            pods=tuple(pod for pod, _ in seen),
            arrivals=traffic.arrivals,
            queued=traffic.queued,
            latency=latency(steps) if steps else Latency(),
            wakes=await self._is_woken(),
        )

    def _see(self, name: str, page: Exposition, now_s: float) -> tuple[PodReading, Step | None]:
        values = {metric: page.value(metric) for metric in self._metrics}
        known = {metric: value for metric, value in values.items() if value is not None}
        return reading(name, page, known), self._engines.step(name, page, now_s)

    async def _is_woken(self) -> bool:
        try:
            return bool(await self._wakes.waiting({MODEL}))
        except RedisAwayError:
            return False

    async def _traffic(self) -> Seen:
        """Return the traffic of the windows that were completed meanwhile, and what waits in gateways."""
        try:
            windows = await self._traces.read(MODEL, self._window_s)
        except RedisAwayError:
            return Seen(None, None, self._window_s)
        seen = seen_of(windows, self._window_s)
        self._window_s = seen.last_s
        return seen


async def _page(address: str) -> Exposition | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            return parse(await HttpFetch("/metrics")(address))
    except (OSError, TimeoutError, AnswerError, NoPageError, NoExpositionError):
        return None
