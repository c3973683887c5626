"""A gateway in front of a fleet that grows and shrinks, as the replay's router.

Lives here: following the fleet's discovery, what is in flight.  Not here: routing (replicas), what is counted of the
traffic (`Counts`).
"""

from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from forebay.simulation.elastic_fleet import ElasticFleet
from forebay.simulation.replicas import Gateway
from gateway.admission.queue import Outcome
from gateway.fleet.ticket import Ticket
from routing.strategy import Finished
from routing.types import PodId, RouteRequest
from simulator.replay.scraping import Scraping


class Counts(Protocol):
    """Counts the traffic of a gateway."""

    def arrived(self, request: RouteRequest) -> None:
        """Count an arrival, whatever becomes of it."""
        ...

    def sent(self, deployment: str) -> None:
        """Count a request that was sent to a pod of a deployment."""
        ...

    def finished(self, event: Finished) -> None:
        """Count the end of a request."""
        ...


Counted = TypeVar("Counted", bound=Counts)


class ElasticRouter(Generic[Counted]):
    """A gateway as the replay's router: follows the fleet's discovery, and counts."""

    def __init__(self, gateway: Gateway, fleet: ElasticFleet, scraping: Scraping, counts: Counted) -> None:
        self._gateway = gateway
        self._fleet = fleet
        self._scraping = scraping
        self.counts = counts
        self.in_flight = 0
        """Requests at pods."""
        self.waiting = 0
        """Requests in the gateway's queue."""

    def enter(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]) -> None:
        """Count the arrival and route the request."""
        self.discover(now_s)
        self.counts.arrived(request)
        self.waiting += 1
        self._gateway.enter(request, strategy, now_s, partial(self._tell, tell))

    def discover(self, now_s: float) -> None:
        """Take over what discovery says, if it has changed."""
        description = self._fleet.changed()
        if description is not None:
            self._gateway.fleet.replace(description, now_s)
            self._scraping.replace([endpoint.id for endpoint in description.endpoints], now_s)

    def _tell(self, tell: Callable[[Outcome], None], outcome: Outcome) -> None:
        self.waiting -= 1
        if isinstance(outcome, Ticket):
            self.counts.sent(self._fleet.take(outcome.decision.pod.id))
            self.in_flight += 1
        tell(outcome)

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """Take a request that has ended off the counts."""
        released = self._gateway.release(ticket, now_s)
        self.in_flight -= 1
        self._fleet.give_back(ticket.decision.pod.id, now_s)
        return released

    def finish(self, ticket: Ticket, event: Finished) -> None:
        """Learn from a request's end."""
        self.counts.finished(event)
        self._gateway.finish(ticket, event)

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """Take over the result of a health check."""
        return self._gateway.set_health(pod_id, healthy)
