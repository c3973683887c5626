"""An admission queue over a fleet of pods of known speed, with a timer that fires when a test says so."""

from collections.abc import Callable
from typing import Any

from gateway.admission.queue import AdmissionQueue, Outcome, QueuedRequest
from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.fleet.ticket import Ticket
from routing.overload import MAX_PREFILL_WAIT_S
from routing.types import NoCandidateError, RouteRequest, Slo
from tests.support.pods import MODEL, a_fleet, an_endpoint

SLO = Slo(ttft_s=10.0, itl_s=0.05)
REQUEST = RouteRequest(MODEL, "u", prompt_tokens=1000, output_tokens=100, slo=SLO)
PREFILL_S = 0.11


class Desk:
    """One pod of known speed, or more; `heard` has the outcome of each request."""

    def __init__(self, pods: int = 1, name: str = "x", **settings: Any) -> None:
        self.settings = RoutingSettings(**{"slo_ttft_s": SLO.ttft_s, "strategy": "least-request", **settings})
        self.outbox = Outbox(name)
        endpoints = [an_endpoint(f"p{number}") for number in range(pods)]
        self.fleet: Fleet = a_fleet(*endpoints, settings=self.settings, outbox=self.outbox)
        for pod in self.fleet.pods():
            pod.speed.fixed_s, pod.speed.token_s, pod.speed.known = 0.01, 1e-4, True
        self.expected_cost = REQUEST.prompt_tokens + self.settings.output_weight * REQUEST.output_tokens
        self.queue = AdmissionQueue(self.fleet, self.settings, self, self.outbox)
        self.heard: dict[str, Outcome] = {}
        self.timer_s: float | None = None

    def set(self, at_s: float, callback: Callable[[float], None]) -> None:
        """Be the queue's timer."""
        assert callback == self.queue.advance
        self.timer_s = at_s if self.timer_s is None else min(at_s, self.timer_s)

    def enter(self, name: str, user: str = "u", now_s: float = 0.0, **fields: Any) -> QueuedRequest:
        request = REQUEST._replace(user=user, **fields)
        waiting = QueuedRequest(request, SLO, "least-request", self._hears(name))
        self.queue.enter(waiting, now_s)
        return waiting

    def _hears(self, name: str) -> Callable[[Outcome], None]:
        def hear(outcome: Outcome) -> None:
            assert name not in self.heard
            self.heard[name] = outcome

        return hear

    def fill(self, seconds: float = 100.0) -> None:
        """Every prompt that comes must wait so long."""
        for pod in self.fleet.pods():
            pod.prefill_done_at_s = MAX_PREFILL_WAIT_S + seconds

    def fire(self) -> float:
        """Let the timer fire until fewer requests wait; return when that is."""
        waiting, at_s = self.queue.waiting(), 0.0
        while self.queue.waiting() == waiting:
            assert self.timer_s is not None
            at_s, self.timer_s = self.timer_s, None
            self.queue.advance(at_s)
        return at_s

    def ticket(self, name: str) -> Ticket:
        outcome = self.heard[name]
        assert isinstance(outcome, Ticket), outcome
        return outcome

    def refusal(self, name: str) -> NoCandidateError:
        outcome = self.heard[name]
        assert isinstance(outcome, NoCandidateError), outcome
        return outcome
