"""Replicas in a replay: requests go to them in turn and end where they began; messages arrive after a while."""

import random
from collections.abc import Sequence

from forebay.simulation.replicas import DELAY_S, TURN_S, Channel, Gateway, Replicas
from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.fleet.ticket import Ticket
from routing.strategy import Finished
from routing.types import RouteRequest
from simulator.replay.replay import MODEL, VirtualTime
from tests.support.pods import a_description, an_endpoint

REQUEST = RouteRequest(MODEL, "u", prompt_tokens=100, output_tokens=10)


class Stage:
    """Three replicas of a fleet of one pod."""

    def __init__(self, *, shares: bool = True) -> None:
        self.time = VirtualTime()
        channel = Channel(self.time) if shares else None
        self.gateways = [self._gateway(f"{number:012x}", channel) for number in range(3)]
        self.router = Replicas(self.gateways)
        self.tickets: list[Ticket] = []

    def _gateway(self, name: str, channel: Channel | None) -> Gateway:
        settings = RoutingSettings(strategy="least-request")
        outbox = Outbox(name) if channel is not None else None
        fleet = Fleet(settings, random.Random(1), outbox=outbox)
        fleet.replace(a_description(an_endpoint("pod-0", models=(MODEL,))))
        return Gateway(fleet, settings, self.time, outbox, channel)

    def enter(self) -> None:
        self.router.enter(REQUEST, "least-request", self.time.now_s, self._hear)

    def _hear(self, outcome: object) -> None:
        assert isinstance(outcome, Ticket)
        self.tickets.append(outcome)

    def in_flight(self) -> Sequence[int]:
        """The requests in flight by the view of each replica."""
        return [next(gateway.fleet.pods()).in_flight for gateway in self.gateways]

    def run_until(self, moment_s: float) -> None:
        while self.time.timer_s <= moment_s:
            self.time.fire()


def test_requests_go_to_the_replicas_in_turn_and_end_where_they_began() -> None:
    stage = Stage(shares=False)
    for _ in range(4):
        stage.enter()
    assert [2, 1, 1] == stage.in_flight()

    for ticket in stage.tickets:
        assert stage.router.release(ticket, 1.0)
        stage.router.finish(ticket, Finished("pod-0", ticket.request, 1.0, failed=False))
    assert [0, 0, 0] == stage.in_flight()


def test_the_others_hear_of_a_request_after_a_message_took_its_way() -> None:
    stage = Stage()
    stage.run_until(1.0)
    stage.time.now_s = 1.0
    stage.enter()
    sent_s = 1.0 + TURN_S + DELAY_S

    stage.run_until(sent_s - DELAY_S / 2)
    assert [1, 0, 0] == stage.in_flight()
    stage.run_until(sent_s + DELAY_S / 2)
    assert [1, 1, 1] == stage.in_flight()


def test_once_all_is_told_no_timer_is_set() -> None:
    stage = Stage()
    stage.enter()
    stage.run_until(60.0)

    assert stage.time.timer_s > 60.0


def test_health_is_known_to_all() -> None:
    stage = Stage()

    assert stage.router.set_health("pod-0", False)
    assert not any(gateway.fleet.has_ready_pod for gateway in stage.gateways)
    assert not stage.router.set_health("pod-0", False)
