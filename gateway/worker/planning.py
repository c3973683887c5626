"""A worker's side of planning: traces of its traffic for the optimizer, and the optimizer's hints.

Lives here: wiring, and whether there are traces.  Not here: counting (traffic.counts), when traces are written
(gateway.accounting.traces) and hints read (gateway.fleet.hints).
"""

from collections.abc import Awaitable, Callable

from gateway.accounting.traces import Traces
from gateway.admission.queue import AdmissionQueue
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from gateway.fleet.fleet import Fleet
from gateway.fleet.hints import Hints
from gateway.observability.metrics import Metrics
from traffic.connection import Connection
from traffic.counts import Counts
from traffic.store import TraceStore


class Planning:
    """Counts, traces and hints of the worker `replica`.  Without `traffic.enabled` nothing is counted.

    `clock` is in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        replica: str,
        fleet: Fleet,
        queue: AdmissionQueue,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        redis = settings.redis
        self._writes = settings.traffic.enabled
        self._redis = Connection(redis.url, redis.timeout_s, cluster=redis.cluster)
        self.counts = Counts()
        self.traces = Traces(
            self.counts, TraceStore(self._redis, replica), fleet.in_flight, queue.waiting, metrics=metrics, clock=clock
        )
        self.hints = Hints(self._redis, fleet, clock)

    def follow(self, description: FleetDescription) -> None:
        """Count the requests for these models from now on."""
        if self._writes:
            self.counts.follow(description.bases())

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what runs in the background, by name."""
        tasks: dict[str, Callable[[], Awaitable[None]]] = {"hints": self.hints.run}
        if self._writes:
            tasks["traffic"] = self.traces.run
        return tasks

    async def aclose(self) -> None:
        """Write the rest and disconnect."""
        if self._writes:
            await self.traces.close()
        await self._redis.aclose()
