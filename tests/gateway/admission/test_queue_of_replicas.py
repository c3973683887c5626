"""One queue over replicas: they take turns at pods, users take turns over all, and nobody waits for a dead one."""

from collections.abc import Iterator, Sequence

import pytest

from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import Share, Waiting, decode, encode
from routing.fair_queue import LEAD_TOKENS
from routing.selectors import parse_selector
from routing.turns import HOLD_S, TURN_S
from tests.support.desk import Desk
from tests.support.pods import MODEL

OPENS_S = 2.0
"""Seconds from the start until the pods of `desks` open."""
LONG = 6000
"""Tokens of a prompt of which a pod takes one at a time."""
NAMES = "abcd"


@pytest.fixture
def desks() -> Sequence[Desk]:
    """Four replicas that know each other, all of whose pods are closed."""
    made = [Desk(name=name) for name in NAMES]
    for desk in made:
        desk.fill(seconds=OPENS_S)
        for other in made:
            if other is not desk:
                hear(desk, Share(other.outbox.replica, 0))
    return made


def hear(desk: Desk, share: Share, now_s: float = 0.0) -> None:
    desk.fleet.apply(share, now_s)
    desk.queue.apply(share, now_s)


def hear_of_less_served(desk: Desk) -> None:
    """At replica b waits a user called little, who was served less than the one called much."""
    hear(desk, Share("b", 1, waiting=[Waiting(MODEL, {"little": 1.0}, {})]))
    hear(desk, Share("b", 2, charged={MODEL: {"much": 2 * LEAD_TOKENS}}))


def exchange(desks: Sequence[Desk], now_s: float = 0.0) -> None:
    """Have each tell the others what is new, in the form that goes over the wire."""
    shares = [(desk, decode(encode(share))) for desk in desks if (share := desk.outbox.take(now_s)) is not None]
    for sender, share in shares:
        for desk in desks:
            if desk is not sender:
                hear(desk, share, now_s)


def sent(desks: Sequence[Desk]) -> list[str]:
    return [name for desk in desks for name, outcome in desk.heard.items() if isinstance(outcome, Ticket)]


def advance(desks: Sequence[Desk], now_s: float) -> Iterator[Desk]:
    """Let time pass at all, without a message between them; yield those that sent a request."""
    for desk in desks:
        before = len(desk.heard)
        desk.queue.advance(now_s)
        if len(desk.heard) > before:
            yield desk


def test_a_pod_that_opens_for_all_is_sent_one_prompt_and_not_four(desks: Sequence[Desk]) -> None:
    for name, desk in zip(NAMES, desks, strict=True):
        desk.enter(name, prompt_tokens=LONG)
    exchange(desks)
    assert [] == sent(desks)

    assert 1 == len(list(advance(desks, OPENS_S)))
    exchange(desks, OPENS_S)
    assert 1 == len(sent(desks))


def test_short_prompts_that_all_fit_do_not_wait_for_each_other(desks: Sequence[Desk]) -> None:
    for name, desk in zip(NAMES, desks, strict=True):
        desk.enter(name, prompt_tokens=10)
    exchange(desks)

    assert 4 == len(list(advance(desks, OPENS_S + 0.1)))


def test_the_user_who_was_served_less_is_first_wherever_the_request_waits(desks: Sequence[Desk]) -> None:
    *busy, last = desks
    for number, desk in enumerate(busy):
        desk.enter(f"much{number}", user="much", prompt_tokens=LONG)
    last.enter("little", user="little", prompt_tokens=LONG)
    exchange(desks)
    for desk in desks:
        hear(desk, Share("e", 0, charged={MODEL: {"much": 2 * LEAD_TOKENS}}))

    assert [last] == list(advance(desks, OPENS_S))
    assert ["little"] == sent(desks)


def test_a_user_who_was_served_more_goes_when_the_other_makes_no_use_of_the_open_pod(desks: Sequence[Desk]) -> None:
    first = desks[0]
    first.enter("much", user="much")
    hear_of_less_served(first)
    first.queue.advance(OPENS_S)
    assert {} == first.heard
    assert first.timer_s is not None
    assert first.timer_s <= OPENS_S + HOLD_S

    first.queue.advance(OPENS_S + HOLD_S)
    assert ["much"] == list(first.heard)


def test_nothing_is_held_for_longer_than_its_turn_for_replicas_that_are_dead(desks: Sequence[Desk]) -> None:
    for name, desk in zip(NAMES, desks, strict=True):
        desk.enter(name, prompt_tokens=LONG)
    exchange(desks)
    (first,) = advance(desks, OPENS_S)
    survivor = next(desk for desk in desks if desk is not first)  # knows of nothing that the others did
    at_s = OPENS_S
    while not survivor.heard:
        assert survivor.timer_s is not None
        at_s, survivor.timer_s = max(at_s, survivor.timer_s), None
        survivor.queue.advance(at_s)

    assert at_s <= OPENS_S + 3 * TURN_S + 0.001


def test_a_replica_that_is_forgotten_holds_nothing(desks: Sequence[Desk]) -> None:
    first = desks[0]
    first.enter("much", user="much", prompt_tokens=LONG)
    hear_of_less_served(first)
    first.queue.advance(OPENS_S)
    assert {} == first.heard

    first.queue.forget("b", OPENS_S)
    assert ["much"] == list(first.heard)


def test_one_who_comes_while_a_user_served_less_waits_elsewhere_waits_too(desks: Sequence[Desk]) -> None:
    first = desks[0]
    hear_of_less_served(first)
    next(first.fleet.pods()).prefill_done_at_s = 0.0
    first.enter("late", user="much")

    assert {} == first.heard
    hear(first, Share("b", 3, waiting=[Waiting(MODEL, {}, {})]))
    assert ["late"] == list(first.heard)


def test_what_waits_elsewhere_is_ahead_of_one_who_comes(desks: Sequence[Desk]) -> None:
    first = desks[0]
    hear(first, Share("b", 1, waiting=[Waiting(MODEL, dict.fromkeys("123456789", 9.0), {})]))
    first.enter("late", prompt_tokens=9000)

    assert first.refusal("late").retry_after_s > 0


def test_best_effort_waits_for_promises_elsewhere(desks: Sequence[Desk]) -> None:
    first = desks[0]
    hear(first, Share("b", 1, waiting=[Waiting(MODEL, {"other": 1.0}, {})]))
    first.enter("long", prompt_tokens=200_000)
    first.queue.advance(OPENS_S + 1.6)  # idle by now
    assert {} == first.heard

    hear(first, Share("b", 2, waiting=[Waiting(MODEL, {}, {})]), OPENS_S + 1.6)
    assert ["long"] == list(first.heard)


def test_requests_for_certain_pods_are_not_told(desks: Sequence[Desk]) -> None:
    first = desks[0]
    first.enter("choosy", selector=parse_selector("!gpu"))
    first.enter("any", user="v")

    share = first.outbox.take(0.0)
    assert share is not None
    assert [["v"]] == [list(waiting.work_s) for waiting in share.waiting]


def test_others_are_told_when_nothing_waits_any_more(desks: Sequence[Desk]) -> None:
    first, second, *_ = desks
    leaves = first.enter("leaves")
    exchange(desks)
    assert second.outbox.has_waiting_siblings
    first.queue.leave(leaves)
    exchange(desks)

    assert not second.outbox.has_waiting_siblings


def test_everything_replaces_what_was_told_and_lifts_counters(desks: Sequence[Desk]) -> None:
    first = desks[0]
    hear(first, Share("b", 1, charged={MODEL: {"u": 50.0}}, waiting=[Waiting(MODEL, {"u": 1.0}, {})]))
    hear(first, Share("b", 1, everything=True, charged={MODEL: {"u": 70.0, "v": 5.0}}))

    assert not first.outbox.has_waiting_siblings
    assert {"u": 70.0, "v": 5.0} == first.outbox.counters[MODEL]


def test_models_that_promise_nothing_here_are_ignored(desks: Sequence[Desk]) -> None:
    first = desks[0]
    hear(first, Share("b", 1, charged={"ghost": {"u": 1.0}}, waiting=[Waiting("ghost", {"u": 1.0}, {})]))

    assert {} == first.queue.waiting()
