"""Priorities in the queue: a higher one is sent first, and a lower one is refused first."""

from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import Share
from routing.overload import MARGIN
from routing.types import NoCandidateError, NoCandidateReason
from tests.support.desk import PREFILL_S, SLO, Desk
from tests.support.pods import MODEL


def test_a_higher_priority_overtakes_all_that_wait() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    for name, priority in (("low", -10), ("none", 0), ("high", 10)):
        desk.enter(name, user=name, priority=priority)

    for _ in range(3):
        desk.fire()

    assert list(desk.heard) == ["high", "none", "low"]
    assert all(isinstance(outcome, Ticket) for outcome in desk.heard.values())


def test_a_lower_priority_is_refused_first() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    for number in range(int(2 * MARGIN * SLO.ttft_s / PREFILL_S)):  # more than can be served in time
        desk.enter(f"none {number}")
    waiting = desk.queue.waiting()[MODEL]
    assert waiting < len(desk.heard) + waiting

    desk.enter("low", user="v", priority=-1)
    desk.enter("high", user="v", priority=1)

    assert isinstance(desk.heard["low"], NoCandidateError)
    assert NoCandidateReason.OVERLOADED is desk.heard["low"].why
    assert "high" not in desk.heard
    assert waiting + 1 == desk.queue.waiting()[MODEL]


def test_while_a_pod_is_open_priorities_change_nothing() -> None:
    desk = Desk()
    for name, priority in (("low", -10), ("high", 10)):
        desk.enter(name, priority=priority)
    assert {"low", "high"} == {name for name, outcome in desk.heard.items() if isinstance(outcome, Ticket)}


def test_replicas_tell_each_other_of_priorities() -> None:
    desks = [Desk(name=name) for name in "ab"]
    for desk, other in zip(desks, reversed(desks), strict=True):
        desk.fill(seconds=1.0)
        desk.queue.apply(Share(other.outbox.replica, 0), 0.0)
        desk.outbox.set_siblings(1, 0.0)
    low, high = desks
    low.enter("low", user="u", priority=-1)
    high.enter("high", user="u", priority=1)

    for desk, other in ((low, high), (high, low)):
        share = desk.outbox.take(0.0)
        assert share is not None
        other.queue.apply(share, 0.0)
    for pod in (*low.fleet.pods(), *high.fleet.pods()):
        pod.prefill_done_at_s = 0.0
    for desk in desks:
        desk.queue.advance(0.1)

    assert {} == low.heard
    assert isinstance(high.heard["high"], Ticket)
