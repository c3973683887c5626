"""A worker's side of planning: traces of its traffic, the optimizer's hints, and wakes for those who start pods.

Lives here: wiring, and whether there are traces.  Not here: counting (traffic.counts), when traces are written
(gateway.accounting.traces), hints read (gateway.fleet.hints) and wakes told (gateway.admission.waking).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway.accounting.traces import Traces
from gateway.admission.queue import AdmissionQueue
from gateway.admission.waking import Waking
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from gateway.fleet.fleet import Fleet
from gateway.fleet.hints import Hints
from gateway.observability.metrics import Metrics
from traffic.connection import Connection
from traffic.counts import Counts
from traffic.store import TraceStore
from traffic.wakes import Wakes


class Planning:
    """Counts, traces, hints and wakes of the worker `replica`.  Without `traffic.enabled` nothing is counted.

    `asleep` is set when a model falls asleep; `clock` is in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        replica: str,
        fleet: Fleet,
        queue: AdmissionQueue,
        asleep: asyncio.Event,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        redis = settings.redis
        self._writes = settings.traffic.enabled
        self._bases: Mapping[str, str | None] = {}
        self._redis = Connection(redis.url, redis.timeout_s, cluster=redis.cluster)
        self.counts = Counts()
        self.traces = Traces(
            self.counts, TraceStore(self._redis, replica), fleet.in_flight, queue.waiting, metrics=metrics, clock=clock
        )
        self.hints = Hints(self._redis, fleet, clock)
        self.waking = Waking(queue, asleep, Wakes(self._redis), lambda: self._bases)

    def follow(self, description: FleetDescription) -> None:
        """Count the requests for these models from now on, and wake these."""
        self._bases = description.bases()
        if self._writes:
            self.counts.follow(self._bases)

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what runs in the background, by name."""
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "hints": self.hints.run, "wakes": self.waking.run, "promises": self.waking.read,
        }  # fmt: skip
        if self._writes:
            tasks["traffic"] = self.traces.run
        return tasks

    async def aclose(self) -> None:
        """Write the rest and disconnect."""
        if self._writes:
            await self.traces.close()
        await self._redis.aclose()
