"""The gateway as a replay sees it: one replica, or several that get requests in turn and may share what they know.

Lives here: joining the gateway's fleet and queue to the simulator, and the channel between replicas, in virtual time.
Not here: what replicas tell each other (gateway.fleet.outbox), what they make of it (gateway.fleet, gateway.admission).
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle

from gateway.admission.queue import AdmissionQueue, Outcome, QueuedRequest
from gateway.config.settings import RoutingSettings, SharingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import Share, decode, encode
from gateway.sharing.pace import Pace
from routing.strategy import Finished
from routing.types import NoCandidateError, PodId, RouteRequest
from simulator.replay.replay import VirtualTime

TURN_S = 0.0005
"""Seconds of one turn of a replica's event loop, in which changes gather before they are told (chosen)."""
DELAY_S = 0.002
"""Seconds from one replica to the others, by way of Redis (chosen: more than a round trip within a cluster)."""


class Channel:
    """Carries the messages of each replica to all others."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._replicas: list[Gateway] = []

    def join(self, replica: "Gateway") -> None:
        """Have the replica receive what others publish, and the others hear of it."""
        for other in self._replicas:
            other.receive(Share(replica.name, 0), 0.0)
            replica.receive(Share(other.name, 0), 0.0)
        self._replicas.append(replica)

    def publish(self, sender: "Gateway", share: Share) -> None:
        """Deliver the message `DELAY_S` later."""
        self._time.set(self._time.now_s + DELAY_S, partial(self._deliver, sender, encode(share)))

    def _deliver(self, sender: "Gateway", message: bytes, now_s: float) -> None:
        for replica in self._replicas:
            if replica is not sender:
                replica.receive(decode(message), now_s)


class Gateway:
    """One replica; implements `simulator.replay.replay.Router` and the timer of its own queue.

    With an outbox it tells the others on `channel` what it does, as the gateway's publisher does.
    """

    def __init__(
        self, fleet: Fleet, settings: RoutingSettings, time: VirtualTime, outbox: Outbox | None = None,
        channel: Channel | None = None,
    ) -> None:  # fmt: skip
        self.fleet = fleet
        self.queue = AdmissionQueue(fleet, settings, self, outbox)
        self.name = outbox.replica if outbox is not None else ""
        self._time = time
        self._outbox = outbox
        self._channel = channel
        self._pace = Pace(SharingSettings().interval_s)
        if channel is not None:
            channel.join(self)

    def enter(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]) -> None:
        """Route the request, through the queue when its model promises an SLO or its pools may be full."""
        if request.slo is not None or self.fleet.pools.may_refuse(request.model):
            self.queue.enter(QueuedRequest(request, request.slo, strategy, tell), now_s)
        else:
            self._route(request, strategy, now_s, tell)
        self._plan_message(now_s)

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """Take a request that has ended off the counts."""
        released = self.queue.release(ticket, now_s)
        self._plan_message(now_s)
        return released

    def finish(self, ticket: Ticket, event: Finished) -> None:
        """Learn from a request's end."""
        self.queue.finish(ticket, event)
        self._plan_message(event.now_s)

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """Take over the result of a health check."""
        return self.fleet.set_health(pod_id, healthy)

    def set(self, at_s: float, callback: Callable[[float], None]) -> None:  # noqa: ARG002  it is always `queue.advance`
        """Be the queue's timer."""
        self._time.set(at_s, self._advance)

    def receive(self, share: Share, now_s: float) -> None:
        """Apply what another replica has told."""
        self.fleet.apply(share, now_s)
        self.queue.apply(share, now_s)
        self._plan_message(now_s)

    def _route(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]) -> None:
        try:
            tell(self.fleet.route(request, strategy, now_s))
        except NoCandidateError as error:
            tell(error)

    def _advance(self, now_s: float) -> None:
        self.queue.advance(now_s)
        self._plan_message(now_s)

    def _plan_message(self, now_s: float) -> None:
        """Set the time of the next message, which is not sent if nothing has changed."""
        if self._channel is not None:
            self._time.set(max(now_s + TURN_S, self._pace.next_s(now_s)), self._tell)

    def _tell(self, now_s: float) -> None:
        if self._outbox is not None and self._channel is not None:
            self._pace.look(now_s, is_urgent=self._outbox.is_urgent)
            share = self._outbox.take(now_s)
            if share is not None:
                self._pace.told(now_s)
                self._channel.publish(self, share)


class Replicas:
    """Several replicas as one router: requests go to them in turn, and end where they began."""

    def __init__(self, gateways: Sequence[Gateway]) -> None:
        self._gateways = gateways
        self._turns = cycle(gateways)
        self._routed: dict[Ticket, Gateway] = {}

    def enter(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]) -> None:
        """Give the request to the next replica."""
        self._enter(next(self._turns), request, strategy, now_s, tell)

    def _enter(
        self, gateway: Gateway, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]
    ) -> None:
        gateway.enter(request, strategy, now_s, partial(self._tell, gateway, tell))

    def _tell(self, gateway: Gateway, tell: Callable[[Outcome], None], outcome: Outcome) -> None:
        if isinstance(outcome, Ticket):
            self._routed[outcome] = gateway
        tell(outcome)

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """Take a request that has ended off the counts of its replica."""
        return self._routed[ticket].release(ticket, now_s)

    def finish(self, ticket: Ticket, event: Finished) -> None:
        """Let its replica learn from a request's end."""
        self._routed.pop(ticket).finish(ticket, event)

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """Pass the result of a health check to all replicas."""
        changes = [gateway.set_health(pod_id, healthy) for gateway in self._gateways]
        return any(changes)
