"""A gateway in front of a fleet that grows and shrinks, counting: with the gateway's own fleet."""

import random

from forebay.local.mix.gpu_types import parse_mix
from forebay.simulation.elastic_fleet import ElasticFleet
from forebay.simulation.elastic_router import ElasticRouter
from forebay.simulation.mix_traffic import WindowCounts
from forebay.simulation.replicas import Gateway
from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.ticket import Ticket
from routing.strategy import Finished
from routing.types import RouteRequest
from simulator.replay.replay import MODEL, VirtualTime
from simulator.replay.scraping import Scraping
from traffic.window import Window, index_of

(V100,) = parse_mix("V100:1:1")


def a_router() -> tuple[ElasticRouter[WindowCounts], ElasticFleet]:
    time, settings = VirtualTime(), RoutingSettings(strategy="least-request")
    fleet = ElasticFleet((V100,), 30.0, time)
    gateway = Gateway(Fleet(settings, random.Random(1)), settings, time)
    return ElasticRouter(gateway, fleet, Scraping((), [], 2.0), WindowCounts()), fleet


def window_of(router: ElasticRouter[WindowCounts], now_s: float) -> Window:
    return router.counts.window(now_s, router.in_flight, router.waiting)


def entered(router: ElasticRouter[WindowCounts], prompt_tokens: int) -> Ticket:
    outcomes: list[object] = []
    request = RouteRequest(MODEL, "", prompt_tokens=prompt_tokens, output_tokens=10)
    router.enter(request, "least-request", 0.0, outcomes.append)
    (outcome,) = outcomes
    assert isinstance(outcome, Ticket)
    return outcome


def test_a_window_has_arrivals_completions_and_what_was_sent_where():
    router, fleet = a_router()
    fleet.adjust(V100, 1, 0.0, startup_s=0.0)
    first, _ = entered(router, 100), entered(router, 100)
    router.release(first, 5.0)
    router.finish(first, Finished("v100-1", first.request, 5.0, False, input_tokens=100, output_tokens=7))
    window = window_of(router, 10.0)

    assert (2, 1, 0, 0.0) == (window.arrivals, window.in_flight, window.queued, window.starts_at_s)
    assert {(index_of(100), index_of(7)): 1} == window.completed
    assert {index_of(100): 2} == window.arrived_inputs
    assert {"v100": 2} == window.sent
    after = window_of(router, 20.0)
    assert (0, 1, {}, {}) == (after.arrivals, after.in_flight, after.completed, after.sent)


def test_a_request_that_nobody_can_serve_is_an_arrival_all_the_same():
    router, _ = a_router()
    outcomes: list[object] = []
    router.enter(RouteRequest(MODEL, "", prompt_tokens=5), "least-request", 0.0, outcomes.append)
    window = window_of(router, 10.0)

    assert 1 == len(outcomes)
    assert (1, 0, 0, {}) == (window.arrivals, window.in_flight, window.queued, window.sent)
