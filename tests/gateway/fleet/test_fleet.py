"""The fleet: membership, health, policy, and the counts of what is in flight."""

import random

import pytest

from gateway.config.settings import RoutingSettings
from gateway.discovery.description import ModelPolicy
from gateway.fleet.fleet import Fleet
from gateway.fleet.pod import PodState
from gateway.fleet.ticket import Ticket
from routing import table
from routing.selectors import parse_selector
from routing.strategies.random_choice import RandomChoice
from routing.strategy import Finished
from routing.table import UnknownStrategyError
from routing.types import NoCandidateReason, RouteRequest
from tests.support.pods import MODEL, a_description, a_fleet, an_endpoint, refusal

REQUEST = RouteRequest(MODEL)


def route(fleet: Fleet, request: RouteRequest = REQUEST, strategy: str = "least-request") -> Ticket:
    return fleet.route(request, strategy, now_s=0.0)


def counts(fleet: Fleet) -> dict[str, int]:
    return {pod.endpoint.id: pod.in_flight for pod in fleet.pods()}


def states(fleet: Fleet) -> dict[str, PodState]:
    return {pod.endpoint.id: pod.state for pod in fleet.pods()}


def test_the_pick_counts_at_once_so_that_a_burst_spreads() -> None:
    fleet = a_fleet(*(an_endpoint(name) for name in "abc"))

    for _ in range(6):
        route(fleet)

    assert counts(fleet) == {"a": 2, "b": 2, "c": 2}


def test_a_released_request_is_off_every_count() -> None:
    fleet = a_fleet(an_endpoint("a"))

    assert fleet.release(route(fleet), 1.0)

    assert (counts(fleet), fleet.in_flight()) == ({"a": 0}, {MODEL: 0})


def test_only_the_first_report_of_an_end_releases() -> None:
    fleet = a_fleet(an_endpoint("a"))
    ticket, _other = route(fleet), route(fleet)

    assert [fleet.release(ticket, 1.0) for _ in range(3)] == [True, False, False]
    assert (counts(fleet), fleet.in_flight()) == ({"a": 1}, {MODEL: 1})


def test_a_ticket_knows_its_decision_and_its_request() -> None:
    ticket = route(a_fleet(an_endpoint("a"), an_endpoint("b")), strategy="random")

    assert ticket.request == REQUEST
    assert ticket.decision.strategy == "random"
    assert ticket.pod.endpoint is ticket.decision.pod


def test_a_refused_request_counts_nowhere() -> None:
    fleet = a_fleet(an_endpoint("a", ready=False))

    assert refusal(lambda: route(fleet)) == NoCandidateReason.NOT_READY
    assert (counts(fleet), fleet.in_flight()) == ({"a": 0}, {MODEL: 0})


def test_each_reason_to_refuse_is_distinguished() -> None:
    fleet = a_fleet(an_endpoint("a"), models=["empty"])

    def why(model: str = MODEL, subset: frozenset[str] | None = None, labels: str = "") -> NoCandidateReason | None:
        selector = parse_selector(labels) if labels else None
        return refusal(lambda: route(fleet, RouteRequest(model, subset=subset, selector=selector)))

    assert why("nowhere") == NoCandidateReason.UNKNOWN_MODEL
    assert why("empty") == NoCandidateReason.NOT_READY
    assert why(subset=frozenset(["10.9.9.9:1"])) == NoCandidateReason.OUTSIDE_SUBSET
    assert why(labels="tier=gold") == NoCandidateReason.NO_MATCH
    assert why() is None


def test_an_adapter_is_a_model_that_only_its_pods_serve() -> None:
    fleet = a_fleet(an_endpoint("plain"), an_endpoint("loaded", models=(MODEL, "adapter")))

    assert {route(fleet, RouteRequest("adapter")).decision.pod.id for _ in range(5)} == {"loaded"}
    assert fleet.in_flight() == {MODEL: 0, "adapter": 5}


def test_an_unhealthy_pod_gets_nothing_until_it_recovers() -> None:
    fleet = a_fleet(an_endpoint("a"), an_endpoint("b"))
    route(fleet)  # the candidates are remembered from here on

    assert fleet.set_health("a", False)
    assert {route(fleet).decision.pod.id for _ in range(5)} == {"b"}

    assert fleet.set_health("a", True)
    assert {route(fleet).decision.pod.id for _ in range(4)} == {"a"}  # it has four fewer in flight


def test_a_draining_pod_gets_nothing_and_keeps_what_it_has() -> None:
    fleet = a_fleet(an_endpoint("a"))
    ticket = route(fleet)

    assert fleet.set_draining("a", True)

    assert refusal(lambda: route(fleet)) == NoCandidateReason.NOT_READY
    assert counts(fleet) == {"a": 1}
    assert fleet.release(ticket, 1.0)


def test_the_same_health_and_that_of_an_unknown_pod_change_nothing() -> None:
    fleet = a_fleet(an_endpoint("a"))

    assert not fleet.set_health("a", True)
    assert not fleet.set_health("nobody", False)
    assert not fleet.set_draining("nobody", True)


def test_a_pod_that_stays_keeps_count_and_health_under_a_new_description() -> None:
    fleet = a_fleet(an_endpoint("a"), an_endpoint("b"))
    fleet.set_health("b", False)
    ticket = route(fleet)

    fleet.replace(a_description(an_endpoint("a", labels={"new": "label"}), an_endpoint("b")))

    assert counts(fleet) == {"a": 1, "b": 0}
    assert states(fleet)["b"] == PodState.UNHEALTHY
    assert route(fleet, RouteRequest(MODEL, selector=parse_selector("new=label"))).pod is ticket.pod


def test_a_pod_that_left_is_remembered_until_its_requests_end() -> None:
    fleet = a_fleet(an_endpoint("a"))
    first, second = route(fleet), route(fleet)

    fleet.replace(a_description(an_endpoint("b")))

    assert states(fleet) == {"b": PodState.READY, "a": PodState.GONE}
    fleet.release(first, 1.0)
    assert counts(fleet) == {"b": 0, "a": 1}
    fleet.release(second, 1.0)
    assert counts(fleet) == {"b": 0}


def test_a_pod_that_returns_has_its_count_and_is_trusted_again() -> None:
    fleet = a_fleet(an_endpoint("a"))
    ticket = route(fleet)
    fleet.set_health("a", False)

    fleet.replace(a_description())
    fleet.replace(a_description(an_endpoint("a")))

    assert (counts(fleet), states(fleet)) == ({"a": 1}, {"a": PodState.READY})
    fleet.release(ticket, 1.0)
    assert counts(fleet) == {"a": 0}


def test_a_restarted_pod_starts_from_zero_while_its_predecessor_runs_out() -> None:
    fleet = a_fleet(an_endpoint("a", started_at=1.0))
    ticket = route(fleet)

    fleet.replace(a_description(an_endpoint("a", started_at=2.0)))

    assert [(pod.in_flight, pod.gone) for pod in fleet.pods()] == [(0, False), (1, True)]
    fleet.release(ticket, 1.0)
    assert [(pod.in_flight, pod.gone) for pod in fleet.pods()] == [(0, False)]


def test_a_request_of_a_model_that_is_gone_still_counts_until_it_ends() -> None:
    fleet = a_fleet(an_endpoint("a"))
    ticket = route(fleet)

    fleet.replace(a_description(an_endpoint("b", models=("other",))))

    assert fleet.in_flight() == {"other": 0, MODEL: 1}
    fleet.release(ticket, 1.0)
    assert fleet.in_flight() == {"other": 0}


def test_an_empty_fleet_has_no_models_and_a_model_without_pods_counts() -> None:
    fleet = Fleet(RoutingSettings(), random.Random(1))

    assert (fleet.has_models, fleet.models()) == (False, ())
    assert refusal(lambda: route(fleet)) == NoCandidateReason.UNKNOWN_MODEL

    fleet.replace(a_description(models=["empty"]))

    assert (fleet.has_models, fleet.models()) == (True, ("empty",))


def test_unhealthy_pods_are_tried_when_none_is_healthy_and_settings_allow() -> None:
    fleet = Fleet(RoutingSettings(), random.Random(1), health_fail_open=True)
    fleet.replace(a_description(an_endpoint("a"), an_endpoint("b", ready=False)))
    fleet.set_health("a", False)

    ticket = route(fleet)

    assert ("a", True) == (ticket.decision.pod.id, ticket.decision.reason.endswith("none healthy"))
    fleet.set_draining("a", True)
    assert refusal(lambda: route(fleet)) == NoCandidateReason.NOT_READY


def test_endpoints_are_counted_by_model_and_state_with_zeros() -> None:
    fleet = a_fleet(
        an_endpoint("a", models=(MODEL, "adapter")),
        an_endpoint("b"),
        an_endpoint("c", ready=False),
        an_endpoint("d", draining=True),
        models=["empty"],
    )
    fleet.set_health("b", False)

    counted = fleet.endpoint_counts()

    assert [counted[MODEL, state] for state in PodState] == [1, 1, 1, 1, 0]
    assert [counted["adapter", state] for state in PodState] == [1, 0, 0, 0, 0]
    assert [counted["empty", state] for state in PodState] == [0] * len(PodState)


@pytest.mark.parametrize(
    ("policy", "header", "strategy"),
    [
        (ModelPolicy(), None, "forebay"),
        (ModelPolicy(), "", "forebay"),
        (ModelPolicy(), "random", "random"),
        (ModelPolicy("random"), None, "random"),
        (ModelPolicy("random"), "least-request", "least-request"),
        (ModelPolicy("random", locked=True), "least-request", "random"),
        (ModelPolicy("random", locked=True), "nonsense", "random"),
        (ModelPolicy(locked=True), "random", "forebay"),
    ],
)
def test_locked_policy_then_header_then_policy_then_default(
    policy: ModelPolicy, header: str | None, strategy: str
) -> None:
    fleet = a_fleet(an_endpoint(), **{MODEL: policy})

    assert fleet.strategy_for(fleet.policy(MODEL), header) == strategy


def test_a_profile_that_the_model_has_is_its_policy() -> None:
    policy = ModelPolicy("random", rps=9, profiles={"fast": ModelPolicy("throughput", locked=True, rps=1)})
    fleet = a_fleet(an_endpoint(), **{MODEL: policy})

    policies = [fleet.policy(MODEL, profile) for profile in ("", "fast", "absent")]
    assert [policy, policy.profiles["fast"], policy] == policies
    assert "throughput" == fleet.strategy_for(fleet.policy(MODEL, "fast"), "random")


def test_a_header_that_names_no_strategy_is_refused_for_known_and_unknown_models() -> None:
    fleet = a_fleet(an_endpoint())

    for model in (MODEL, "nowhere"):
        with pytest.raises(UnknownStrategyError):
            fleet.strategy_for(fleet.policy(model), "nonsense")


def test_an_unknown_default_strategy_raises_at_start() -> None:
    with pytest.raises(UnknownStrategyError):
        Fleet(RoutingSettings(strategy="nonsense"), random.Random(1))


def test_as_many_fallbacks_are_named_as_the_settings_say() -> None:
    fleet = a_fleet(*(an_endpoint(name) for name in "abcd"), settings=RoutingSettings(fallbacks=1))

    assert len(route(fleet).decision.fallbacks) == 1


@pytest.mark.interpreted("a subclass of a strategy")
def test_every_strategy_in_use_observes_every_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Finished] = []

    class Learner(RandomChoice):
        def observe(self, event: Finished) -> None:
            told.append(event)

    monkeypatch.setattr(table, "STRATEGIES", {"learner": Learner, "random": RandomChoice})
    fleet = a_fleet(an_endpoint("a"), settings=RoutingSettings(strategy="learner"))
    ticket = fleet.route(REQUEST, "random", now_s=1.0)

    fleet.finish(ticket, finished := Finished("a", REQUEST, now_s=2.0, failed=False))

    assert told == [finished]
