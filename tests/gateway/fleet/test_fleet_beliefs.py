"""The fleet learns about its pods: cached prompts, failures, signals, shadow choices."""

from typing import Any

from gateway.config.settings import RoutingSettings
from gateway.discovery.probing.readings import Readings
from gateway.fleet.fleet import Fleet
from gateway.fleet.ticket import Ticket
from routing.strategy import Finished
from routing.types import RouteRequest, Signal
from tests.support.pods import MODEL, a_description, a_fleet, an_endpoint

REQUEST = RouteRequest(MODEL)
PROMPT = RouteRequest(MODEL, prompt_tokens=1000, output_tokens=10, blocks=(1, 2, 3), block_tokens=300)


def route(fleet: Fleet, request: RouteRequest = REQUEST, strategy: str = "least-request") -> Ticket:
    return fleet.route(request, strategy, now_s=0.0)


def served(fleet: Fleet, ticket: Ticket, pod: str = "", now_s: float = 1.0, **seen: Any) -> None:
    fleet.release(ticket, now_s)
    event = {"failed": False, "duration_s": 0.5, "input_tokens": 1000, "output_tokens": 5} | seen
    fleet.finish(ticket, Finished(pod or ticket.decision.pod.id, ticket.request, now_s, **event))


def test_a_prompt_goes_where_it_was_computed_and_only_the_rest_counts_as_work() -> None:
    fleet = a_fleet(*(an_endpoint(name) for name in "abc"))
    first = route(fleet, PROMPT, "prefix-cache")
    second = route(fleet, PROMPT, "prefix-cache")

    assert first.pod is second.pod
    assert (first.work.uncached_tokens, second.work.uncached_tokens, second.pod.prefill_tokens) == (1000, 100, 1100)


def test_a_ticket_does_not_keep_the_blocks() -> None:
    assert route(a_fleet(an_endpoint("a")), PROMPT).request.blocks == ()


def test_a_prompt_that_failed_is_not_believed_to_be_there() -> None:
    fleet = a_fleet(an_endpoint("a"))
    served(fleet, route(fleet, PROMPT), failed=True)

    assert route(fleet, PROMPT).work.uncached_tokens == 1000


def test_a_route_that_is_withdrawn_leaves_nothing() -> None:
    fleet = a_fleet(an_endpoint("a"))
    ticket = route(fleet, PROMPT)
    fleet.withdraw(ticket, 1.0)

    assert (ticket.pod.in_flight, ticket.pod.cache.held, ticket.open) == (0, 0, False)


def test_a_prompt_that_a_fallback_answered_is_not_believed_to_be_where_it_was_sent() -> None:
    fleet = a_fleet(an_endpoint("a"), an_endpoint("b"))
    ticket = route(fleet, PROMPT)
    fallback = ticket.decision.fallbacks[0].id
    served(fleet, ticket, pod=fallback)

    assert ticket.pod.cache.held == 0
    assert {route(fleet).decision.pod.id for _ in range(4)} == {fallback}  # the other one is set aside


def test_a_pod_that_failed_is_ejected_and_comes_back_one_request_at_a_time() -> None:
    fleet = a_fleet(an_endpoint("a"), an_endpoint("b"))

    def picks(now_s: float) -> list[str]:
        return [fleet.route(REQUEST, "least-request", now_s).decision.pod.id for _ in range(3)]

    ticket = fleet.route(REQUEST, "least-request", 0.0)
    failed = ticket.decision.pod.id
    served(fleet, ticket, now_s=10.0, failed=True)

    assert failed not in picks(10.5)
    assert picks(12.0).count(failed) == 1
    assert failed not in picks(12.0)
    served(fleet, Ticket(REQUEST, ticket.decision, ticket.pod, ticket.work, shadow="", waited_s=0.0), now_s=12.5)
    assert picks(12.5).count(failed) == 3


def test_a_failed_attempt_ejects_the_pod_before_its_request_has_ended() -> None:
    fleet = a_fleet(an_endpoint("a"), an_endpoint("b"))
    ticket = route(fleet)
    fleet.record_failed_attempt(ticket.decision.pod.address, 0.5)
    fleet.record_failed_attempt("10.9.9.9:1", 0.5)

    assert {route(fleet).decision.pod.id for _ in range(4)} == {ticket.decision.fallbacks[0].id}
    served(fleet, ticket, pod=ticket.decision.fallbacks[0].id)
    assert ticket.pod.failures == 1


def test_when_all_are_ejected_all_are_tried() -> None:
    fleet = a_fleet(an_endpoint("a"))
    served(fleet, route(fleet), failed=True)

    assert route(fleet).decision.pod.id == "a"


def test_signals_are_absent_once_stale_and_a_restart_empties_the_cache() -> None:
    fleet = a_fleet(an_endpoint("a"))
    fleet.apply_readings("a", Readings({Signal.KV_USAGE: 0.5}, cache_tokens=600, started_s=1.0), 0.0, fresh_until_s=3.0)
    fleet.apply_readings("nobody", Readings(), 0.0, fresh_until_s=3.0)
    pod = route(fleet, PROMPT).pod

    assert [pod.signal(Signal.KV_USAGE, now_s) for now_s in (3.0, 3.1)] == [0.5, None]
    assert pod.cache.held == pod.cache.budget == 2

    fleet.apply_readings("a", Readings(started_s=2.0), 0.0, fresh_until_s=9.0)
    assert pod.cache.held == 0


def test_a_pod_that_left_is_removed_from_the_index() -> None:
    fleet = a_fleet(an_endpoint("a"))
    ticket = route(fleet, PROMPT)
    fleet.replace(a_description())
    fleet.replace(a_description(an_endpoint("a")))

    assert route(fleet, PROMPT).work.uncached_tokens == 1000
    served(fleet, ticket, failed=True)


def test_only_a_pod_that_comes_later_ramps_up() -> None:
    fleet = a_fleet(an_endpoint("a"))
    fleet.replace(a_description(an_endpoint("a"), an_endpoint("b")), now_s=50.0)

    assert {pod.endpoint.id: pod.slow_start_factor(51.0) > 1 for pod in fleet.pods()} == {"a": False, "b": True}


def test_a_mixture_shares_its_parts_and_is_not_kept() -> None:
    fleet = a_fleet(an_endpoint("a"), an_endpoint("b"))
    decision = route(fleet, strategy="least-request:2,random").decision

    assert decision.strategy == "least-request:2,random"
    assert set(fleet._strategies._in_use) == {"forebay", "least-request", "random"}


def test_a_shadow_strategy_chooses_and_decides_nothing() -> None:
    settings = RoutingSettings(strategy="least-request", shadow="session-affinity")
    fleet = a_fleet(*(an_endpoint(name) for name in "abc"), settings=settings)
    tickets = [route(fleet, RouteRequest(MODEL, session="s")) for _ in range(3)]

    assert len({ticket.shadow for ticket in tickets}) == 1
    assert {ticket.decision.pod.id for ticket in tickets} == {"a", "b", "c"}
