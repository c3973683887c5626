"""A pod as the gateway accounts for it: what discovery says, what health checks say, what is in flight.

Lives here: one pod's state.  Not here: which pods there are and who may change them (gateway.fleet).
"""

from dataclasses import replace
from enum import StrEnum

from routing.types import Endpoint, PodId, Signal

Identity = tuple[PodId, str, float | None]
"""Another address or start time makes another pod, whatever its name: its predecessor's requests are not its own."""


class PodState(StrEnum):
    """Why a pod does or does not take requests; the label `state` of `forebay_endpoints`."""

    READY = "ready"
    NOT_READY = "not-ready"  # says discovery
    UNHEALTHY = "unhealthy"  # says the health check
    DRAINING = "draining"
    GONE = "gone"  # no longer discovered; requests are still in flight


def identity(endpoint: Endpoint) -> Identity:
    """Return what makes two descriptions mean the same pod."""
    return (endpoint.id, endpoint.address, endpoint.started_at)


class Pod:
    """Satisfies `routing.types.PodView`.  Only the fleet changes it."""

    __slots__ = ("_described", "_draining", "_healthy", "endpoint", "gone", "in_flight")

    def __init__(self, endpoint: Endpoint) -> None:
        self.in_flight = 0
        self.renew(endpoint)

    def renew(self, endpoint: Endpoint) -> None:
        """Take over what discovery says and forget health: for a pod that is new or was gone."""
        self.gone = False
        self._healthy = True  # a restart of the gateway must not be an outage until every engine was checked
        self._draining = False
        self.describe(endpoint)

    def describe(self, endpoint: Endpoint) -> None:
        """Take over what discovery says now; health stays."""
        self._described = endpoint
        self._combine()

    def set_health(self, healthy: bool) -> bool:
        """Return whether this changed anything."""
        changed = self._healthy != healthy
        self._healthy = healthy
        self._combine()
        return changed

    def set_draining(self, draining: bool) -> bool:
        """Return whether this changed anything."""
        changed = self._draining != draining
        self._draining = draining
        self._combine()
        return changed

    def _combine(self) -> None:
        """Set `endpoint`, all that routing reads: what discovery and the gateway say about it together."""
        said = self._described
        ready, draining = said.ready and self._healthy, said.draining or self._draining
        changed = (said.ready, said.draining) != (ready, draining)
        self.endpoint = replace(said, ready=ready, draining=draining) if changed else said

    @property
    def state(self) -> PodState:
        """The first reason that applies."""
        if self.gone:
            return PodState.GONE
        if self.endpoint.draining:
            return PodState.DRAINING
        if not self._described.ready:
            return PodState.NOT_READY
        return PodState.READY if self._healthy else PodState.UNHEALTHY

    def signal(self, signal: Signal) -> float | None:  # noqa: ARG002  the seam's signature
        """No engine is scraped yet, so every signal is unknown."""
        return None
