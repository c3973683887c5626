"""The load of a model: its tokens in flight, and how the time to the first token compares with what is promised."""

from math import isnan

import pytest

from gateway.config.settings import RoutingSettings
from gateway.discovery.probing.readings import Readings
from gateway.fleet.fleet import Fleet
from gateway.fleet.loads import is_busy, loads
from routing.types import RouteRequest, Signal
from tests.support.pods import MODEL, a_fleet, an_endpoint

PROMISED = RoutingSettings(slo_ttft_s=2.0)
REQUEST = RouteRequest(MODEL, prompt_tokens=1000, output_tokens=200)


def a_busy_fleet(settings: RoutingSettings = PROMISED, *, pods: int = 1, speed_s: float = 0.001) -> Fleet:
    """A request on each pod, whose prefill takes `speed_s` per token, sent at 0."""
    fleet = a_fleet(*(an_endpoint(f"p{n}") for n in range(pods)), settings=settings)
    for pod in fleet.pods():
        pod.speed.known, pod.speed.fixed_s, pod.speed.token_s = True, 0.0, speed_s
    for _ in range(pods):
        fleet.route(REQUEST, "least-request", now_s=0.0)
    return fleet


def test_tokens_in_flight_are_prompts_and_expected_outputs_of_this_worker():
    fleet = a_busy_fleet(pods=2)

    assert 2400 == loads(fleet, {}, 0.0)[MODEL].tokens


def test_the_prediction_is_the_wait_and_a_usual_prefill_over_the_promise():
    fleet = a_busy_fleet(pods=2)

    assert 1.0 == pytest.approx(loads(fleet, {}, 0.0)[MODEL].ttft_ratio)  # 1 s of wait, 1 s of prefill, of 2 s
    assert 0.75 == pytest.approx(loads(fleet, {}, 0.5)[MODEL].ttft_ratio)
    assert 2.0 == pytest.approx(loads(fleet, {MODEL: 4}, 0.0)[MODEL].ttft_ratio)  # and 4 that wait for 2 pods


def test_an_idle_model_keeps_its_promise():
    fleet = a_fleet(an_endpoint(), settings=PROMISED)

    assert (0.0, 0.0) == loads(fleet, {}, 0.0)[MODEL]


def test_without_a_promise_or_a_ready_pod_nothing_is_predicted():
    unready = a_fleet(an_endpoint(ready=False), settings=PROMISED)

    assert isnan(loads(a_busy_fleet(RoutingSettings()), {}, 0.0)[MODEL].ttft_ratio)
    assert isnan(loads(unready, {}, 0.0)[MODEL].ttft_ratio)
    assert {} == loads(a_fleet(settings=PROMISED), {}, 0.0)


def test_a_fleet_is_busy_with_requests_of_ours_and_of_others():
    fleet, foreign = a_fleet(an_endpoint("a"), an_endpoint("b")), a_fleet(an_endpoint("a"))
    foreign.apply_readings("a", Readings({Signal.RUNNING: 2.0, Signal.WAITING: 0.0}), 0.0, 9.0)

    assert (False, True) == (is_busy(fleet), is_busy(foreign))
    ticket = fleet.route(REQUEST, "least-request", now_s=0.0)
    assert is_busy(fleet)
    fleet.release(ticket, 1.0)
    assert not is_busy(fleet)
