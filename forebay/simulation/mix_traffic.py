"""The gateway of a mix in virtual time, and what it counts of its traffic for the optimizer.

Lives here: counting, as gateways do.  Not here: routing (replicas), where real gateways keep what they count (traffic).
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

from forebay.simulation.mix_fleet import MixFleet
from forebay.simulation.replicas import Gateway
from gateway.admission.queue import Outcome
from gateway.fleet.ticket import Ticket
from routing.strategy import Finished
from routing.types import PodId, RouteRequest
from simulator.replay.scraping import Scraping
from traffic.window import WINDOW_S, Lengths, Window, index_of


class CountingRouter:
    """A gateway as the replay's router: follows the fleet's discovery, and counts."""

    def __init__(self, gateway: Gateway, fleet: MixFleet, scraping: Scraping) -> None:
        self._gateway = gateway
        self._fleet = fleet
        self._scraping = scraping
        self._in_flight = 0
        self._entered = 0
        self._completed: Counter[Lengths] = Counter()
        self._inputs: Counter[int] = Counter()
        self._sent: Counter[str] = Counter()

    def enter(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]) -> None:
        """Count the arrival and route the request."""
        self.discover(now_s)
        self._inputs[index_of(request.prompt_tokens)] += 1
        self._entered += 1
        self._gateway.enter(request, strategy, now_s, partial(self._tell, tell))

    def discover(self, now_s: float) -> None:
        """Take over what discovery says, if it has changed."""
        description = self._fleet.changed()
        if description is not None:
            self._gateway.fleet.replace(description, now_s)
            self._scraping.replace([endpoint.id for endpoint in description.endpoints], now_s)

    def _tell(self, tell: Callable[[Outcome], None], outcome: Outcome) -> None:
        self._entered -= 1
        if isinstance(outcome, Ticket):
            self._sent[self._fleet.take(outcome.decision.pod.id)] += 1
            self._in_flight += 1
        tell(outcome)

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """Take a request that has ended off the counts."""
        released = self._gateway.release(ticket, now_s)
        self._in_flight -= 1
        self._fleet.give_back(ticket.decision.pod.id, now_s)
        return released

    def finish(self, ticket: Ticket, event: Finished) -> None:
        """Learn from a request's end."""
        if event.input_tokens is not None and event.output_tokens is not None:
            self._completed[index_of(event.input_tokens), index_of(event.output_tokens)] += 1
        self._gateway.finish(ticket, event)

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """Take over the result of a health check."""
        return self._gateway.set_health(pod_id, healthy)

    def window(self, now_s: float) -> Window:
        """Return what was counted since the last call, and begin anew."""
        window = Window(
            WINDOW_S, self._inputs.total(), dict(self._completed), dict(self._inputs), self._in_flight, self._entered,
            sent=dict(self._sent), starts_at_s=now_s - WINDOW_S,
        )  # fmt: skip
        for counts in (self._completed, self._inputs, self._sent):
            counts.clear()
        return window
