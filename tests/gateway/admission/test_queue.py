"""The queue in the gateway: requests wait there, go in turn, or are refused."""

import pytest

from gateway.admission.queue import LOOK_S
from gateway.config.settings import RoutingSettings
from gateway.discovery.description import ModelPolicy
from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import Share
from routing.overload import MARGIN, MAX_BACKLOG_S, MAX_PREFILL_WAIT_S
from routing.selectors import parse_selector
from routing.strategy import Finished
from routing.types import NoCandidateReason, Slo
from tests.support.desk import PREFILL_S, REQUEST, SLO, Desk
from tests.support.pods import MODEL, a_description, a_fleet, an_endpoint


def test_nobody_waits_while_a_pod_is_open() -> None:
    desk = Desk(pods=2)
    next(desk.fleet.pods()).prefill_done_at_s = 100.0
    for name in "abc":
        desk.enter(name)

    assert {desk.ticket(name).pod.endpoint.id for name in "abc"} == {"p1"}
    assert desk.queue.waiting() == {MODEL: 0}
    assert desk.timer_s is None


def test_who_waits_goes_when_a_pod_opens() -> None:
    desk = Desk()
    desk.fill(seconds=2.0)
    desk.enter("a")
    assert desk.heard == {}

    assert desk.fire() == pytest.approx(2.0)

    assert desk.ticket("a").pod.in_flight == 1
    assert desk.queue.waiting() == {MODEL: 0}


def test_who_waits_goes_when_another_request_ends() -> None:
    desk = Desk()
    for number in range(30):  # each 0.11 s of prefill
        desk.enter(f"n{number}")
    sent = [name for name in desk.heard if isinstance(desk.heard[name], Ticket)]
    assert len(sent) == int(MAX_BACKLOG_S / PREFILL_S) + 1 or len(sent) == int(MAX_BACKLOG_S / PREFILL_S)

    for name in sent:
        desk.queue.release(desk.ticket(name), 0.5)

    assert len(desk.heard) > len(sent)


def test_who_comes_later_does_not_overtake_the_users_who_wait() -> None:
    desk = Desk()
    desk.fill(seconds=2.0)
    desk.enter("first", user="u")
    next(desk.fleet.pods()).prefill_done_at_s = 0.0  # open, but nobody has noticed yet
    desk.enter("second", user="v")

    assert desk.heard == {}
    desk.fire()
    assert list(desk.heard) == ["first", "second"]


def test_users_take_turns() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    for number in range(4):
        desk.enter(f"much{number}", user="much", prompt_tokens=100)
    for number in range(2):
        desk.enter(f"little{number}", user="little", prompt_tokens=100)
    while desk.queue.waiting()[MODEL]:
        desk.fire()

    assert [name[:-1] for name in desk.heard] == ["much", "little", "much", "little", "much", "much"]


def test_what_an_answer_really_cost_counts_for_the_next_turn() -> None:
    desk = Desk()
    for user in ("short", "long"):
        desk.enter(user, user=user, prompt_tokens=100)
    for user, tokens in (("short", 10), ("long", 1000)):
        ticket = desk.ticket(user)
        desk.queue.release(ticket, 1.0)
        event = Finished(
            ticket.pod.endpoint.id, ticket.request, 1.0, failed=False, input_tokens=100, output_tokens=tokens
        )
        desk.queue.finish(ticket, event)
    desk.fill(seconds=2.0)
    desk.enter("second of long", user="long", now_s=1.0)
    desk.enter("second of short", user="short", now_s=1.0)

    counters = {user: line["counter"] for user, line in desk.queue.page()[MODEL]["users"].items()}  # type: ignore[attr-defined]  # a page is for JSON
    assert counters == {"long": 100 + 2 * 1000, "short": 2100}  # lifted to where the other stands


def test_a_route_that_is_taken_back_costs_nothing() -> None:
    desk = Desk()
    desk.enter("a")
    desk.queue.withdraw(desk.ticket("a"), 0.0)
    desk.fill(seconds=1.0)
    desk.enter("b")

    assert desk.queue.page() == {
        MODEL: {"waiting": 1, "users": {"u": {"waiting": 1, "counter": 0.0}}, "best_effort": {}}
    }


def test_what_cannot_be_answered_in_time_is_refused_at_once_and_told_when_it_can() -> None:
    desk = Desk()
    desk.fill(seconds=12.0)
    desk.enter("a")

    assert desk.refusal("a").why == NoCandidateReason.OVERLOADED
    assert desk.refusal("a").retry_after_s == pytest.approx(12.0 + MAX_PREFILL_WAIT_S + PREFILL_S - MARGIN * SLO.ttft_s)


def test_what_is_ahead_counts() -> None:
    desk = Desk()
    desk.fill(seconds=2.0)
    number = 0
    while f"n{number - 1}" not in desk.heard:
        desk.enter(f"n{number}")
        number += 1

    assert number - 1 == pytest.approx((MARGIN * SLO.ttft_s - MAX_PREFILL_WAIT_S - 2.0) / PREFILL_S, abs=1.5)
    assert desk.refusal(f"n{number - 1}").retry_after_s < 2 * PREFILL_S


def test_who_has_waited_in_vain_is_refused_before_it_is_too_late() -> None:
    desk = Desk()
    desk.fill(seconds=2.0)
    desk.enter("a")
    desk.fill(seconds=100.0)  # against all predictions

    assert desk.fire() == pytest.approx(MARGIN * SLO.ttft_s - MAX_PREFILL_WAIT_S - PREFILL_S)

    assert desk.refusal("a").why == NoCandidateReason.OVERLOADED
    assert desk.queue.waiting() == {MODEL: 0}


def test_nobody_waits_longer_than_envoy_does() -> None:
    desk = Desk(longest_wait_s=1.0)
    desk.fill(seconds=0.9)
    desk.enter("a")
    desk.fill(seconds=2.0)
    desk.enter("b")

    assert desk.refusal("b").retry_after_s >= 1.0
    assert desk.fire() == pytest.approx(1.0)
    assert "a" in desk.heard


def test_waiting_can_be_forbidden() -> None:
    desk = Desk(longest_wait_s=0.0)
    desk.fill(seconds=0.5)
    desk.enter("a")

    assert desk.refusal("a").retry_after_s == pytest.approx(0.5)


def test_who_leaves_is_not_sent() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    gone, stays = desk.enter("gone"), desk.enter("stays")
    desk.queue.leave(gone)
    desk.fire()

    assert list(desk.heard) == ["stays"]
    assert not stays.is_waiting


def test_a_pod_that_joins_is_noticed_though_nothing_ends() -> None:
    desk = Desk()
    desk.fill(seconds=5.0)
    desk.enter("a")
    desk.fleet.replace(a_description(an_endpoint("p0"), an_endpoint("new")))

    assert desk.fire() <= LOOK_S
    assert desk.ticket("a").pod.endpoint.id == "new"


def test_a_pod_that_is_set_aside_is_not_reckoned_with() -> None:
    desk = Desk(pods=2)
    desk.fill(seconds=12.0)
    failing = list(desk.fleet.pods())[1]
    failing.prefill_done_at_s = 0.0
    desk.fleet.record_failed_attempt(failing.endpoint.address, 0.0)
    desk.enter("a")

    assert desk.refusal("a").why == NoCandidateReason.OVERLOADED


def test_who_wants_a_busy_pod_holds_up_nobody_who_takes_another() -> None:
    desk = Desk()
    desk.fleet.replace(a_description(*(an_endpoint(name, labels={"pod": name}) for name in ("p0", "p1"))))
    next(desk.fleet.pods()).prefill_done_at_s = MAX_PREFILL_WAIT_S + 5.0
    desk.enter("picky", selector=parse_selector("pod=p0"))
    desk.enter("any", user="v")
    desk.enter("picky too", selector=parse_selector("pod=p0"))

    assert list(desk.heard) == ["any"]
    assert desk.ticket("any").pod.endpoint.id == "p1"
    assert desk.queue.waiting() == {MODEL: 2}


def test_who_wants_an_open_pod_does_not_overtake_those_who_take_any() -> None:
    desk = Desk()
    desk.fleet.replace(a_description(*(an_endpoint(name, labels={"pod": name}) for name in ("p0", "p1"))))
    desk.fill(seconds=2.0)
    desk.enter("any")
    next(desk.fleet.pods()).prefill_done_at_s = 0.0  # open, but nobody has noticed yet
    desk.enter("picky", user="v", selector=parse_selector("pod=p0"))
    assert desk.heard == {}

    desk.fire()
    assert list(desk.heard) == ["any", "picky"]


def test_a_pod_that_vanishes_ends_the_wait_with_the_reason() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    desk.enter("a")
    desk.fleet.replace(a_description(models=[MODEL]))
    desk.fire()

    assert desk.refusal("a").why == NoCandidateReason.NOT_READY
    desk.enter("b")
    assert desk.refusal("b").why == NoCandidateReason.NOT_READY


def test_a_model_without_a_promise_is_not_counted() -> None:
    desk = Desk(slo_ttft_s=0.0)
    ticket = desk.fleet.route(REQUEST._replace(slo=None), "least-request", 0.0)
    desk.queue.withdraw(ticket, 0.0)

    assert desk.queue.waiting() == {}


def test_promises_are_each_models_own_and_an_adapter_has_its_models() -> None:
    settings = RoutingSettings(slo_ttft_s=2.0)
    endpoints = [an_endpoint(name, models=(name,)) for name in ("default", "own", "none")]
    policies = {"own": ModelPolicy(slo_ttft_s=5.0, slo_itl_s=0.02), "none": ModelPolicy(slo_ttft_s=0.0)}
    fleet = a_fleet(*endpoints, settings=settings, **policies)

    assert [fleet.slo(name) for name in ("default", "own", "none", "unknown")] == [
        Slo(2.0, 0.05), Slo(5.0, 0.02), None, None,
    ]  # fmt: skip


LONG = 200_000
"""Tokens of a prompt whose own prefill takes twice the promised time."""


def test_a_prompt_too_long_for_the_promise_is_sent_to_an_idle_fleet() -> None:
    desk = Desk(pods=2)
    desk.enter("long", prompt_tokens=LONG)

    assert desk.ticket("long").pod.in_flight == 1


def test_a_prompt_too_long_for_the_promise_waits_longer_than_a_promise_would_allow() -> None:
    desk = Desk()
    desk.fill(seconds=SLO.ttft_s + 1)
    desk.enter("long", prompt_tokens=LONG)
    assert desk.heard == {}

    assert desk.fire() == pytest.approx(SLO.ttft_s + 1 + MAX_PREFILL_WAIT_S)
    assert desk.ticket("long").pod.in_flight == 1


def test_best_effort_leaves_one_pod_open_for_requests_with_a_promise() -> None:
    desk = Desk(pods=2)
    first, second = desk.fleet.pods()
    first.prefill_done_at_s = 100.0
    desk.enter("long", prompt_tokens=LONG)
    desk.enter("short")

    assert list(desk.heard) == ["short"]
    assert desk.ticket("short").pod is second


def test_best_effort_goes_after_all_requests_with_a_promise() -> None:
    desk = Desk()
    desk.fill(seconds=2.0)
    desk.enter("long", prompt_tokens=LONG)
    for number in range(3):
        desk.enter(f"short{number}")
    while desk.queue.waiting()[MODEL]:
        desk.fire()

    assert list(desk.heard) == ["short0", "short1", "short2", "long"]


def test_best_effort_is_refused_after_the_longest_wait_in_words_of_its_own() -> None:
    desk = Desk(longest_wait_s=20.0)
    desk.fill(seconds=10.0)
    desk.enter("long", prompt_tokens=LONG)
    desk.fill(seconds=100.0)

    assert desk.fire() == pytest.approx(20.0)
    assert desk.refusal("long").why == NoCandidateReason.NO_IDLE_POD


def test_service_that_other_replicas_gave_counts_in_the_order_of_users() -> None:
    desk = Desk()
    desk.fill(seconds=2.0)
    desk.enter("served elsewhere", user="u")
    desk.enter("not served", user="v")
    desk.queue.apply(Share("y", 1, charged={MODEL: {"u": 500.0}, "unknown": {"u": 1.0}}), 0.0)
    desk.queue.apply(Share("y", 1, everything=True, charged={MODEL: {"u": 400.0, "v": 100.0}}), 0.0)
    users = desk.queue.page()[MODEL]["users"]
    assert ({"u": {"waiting": 1, "counter": 500.0}, "v": {"waiting": 1, "counter": 100.0}}) == users

    while desk.queue.waiting()[MODEL]:
        desk.fire()
    assert ["not served", "served elsewhere"] == list(desk.heard)


def test_service_is_told_as_it_is_charged() -> None:
    desk = Desk()
    desk.outbox.siblings = 1
    desk.enter("a")
    share = desk.outbox.take(0.0)
    assert share is not None
    assert {MODEL: {"u": desk.expected_cost}} == share.charged

    desk.queue.withdraw(desk.ticket("a"), 0.0)
    share = desk.outbox.take(0.0)
    assert share is not None
    assert {MODEL: {"u": -desk.expected_cost}} == share.charged
