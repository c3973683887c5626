"""A replica tells only what changed, only while somebody listens, and never more than others accept."""

from array import array

import pytest

from gateway.fleet import outbox as rules
from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import MAX_BLOCKS, MAX_USERS, Share
from routing.pods.speed import LEARN_ALL_UNTIL, LEARN_ONE_IN
from routing.prefix.blocks import key_digest
from routing.strategy import Finished
from routing.types import RouteRequest
from tests.support.pods import MODEL, a_description, an_endpoint
from tests.support.replicas import Replica, heartbeat, sent

REQUEST = RouteRequest(MODEL, "u", 100, 10, blocks=(5, 6), block_tokens=40.0)


def heard(*pods: str, siblings: int = 1) -> Replica:
    """A replica with siblings."""
    replica = Replica("x", *(pods or ("a",)))
    for number in range(siblings):
        replica.hear(heartbeat(f"sibling {number}"))
    return replica


def route(replica: Replica, request: RouteRequest = REQUEST, now_s: float = 0.0) -> Ticket:
    return replica.fleet.route(request, "least-request", now_s)


def end(replica: Replica, ticket: Ticket, now_s: float = 1.0, **seen: object) -> None:
    replica.fleet.release(ticket, now_s)
    event = Finished(ticket.pod.endpoint.id, ticket.request, now_s, False, 1.0, None, 100, 10)
    replica.fleet.finish(ticket, event._replace(**seen))  # type: ignore[arg-type]  # a test's names are right or it fails


def taken(replica: Replica, now_s: float = 0.0) -> Share:
    share = replica.take(now_s)
    assert share is not None
    return share


def test_alone_nothing_is_collected() -> None:
    replica = Replica("x", "a")
    end(replica, route(replica))
    replica.outbox.charge(MODEL, "u", 5.0)

    assert (None, False) == (replica.take(), replica.outbox.is_urgent)


def test_what_changed_is_told_once() -> None:
    replica = heard("a", "b")
    ticket = route(replica)

    share = taken(replica)
    (load,) = share.loads
    assert ("x", (ticket.pod.endpoint.id, 1, 100, 10, 110)) == (share.replica, load[:5])
    (prompt,) = share.prompts
    assert ([5, 6], 40.0, False) == (list(array("q", prompt.blocks)), prompt.block_tokens, prompt.withdrawn)
    assert replica.take() is None


def test_a_request_that_ended_is_told_with_all_that_it_taught() -> None:
    replica = heard()
    ticket = route(replica)
    taken(replica)
    end(replica, ticket)

    share = taken(replica, 1.0)
    (load,) = share.loads
    assert ((0, 0, 0, 0, 0), 120.0) == (load[1:6], load.processed_tokens)
    assert [("a", 100.0, 10, 1.0, 0.0, 120.0)] == [tuple(sample) for sample in share.samples]
    assert ([], [], {}) == (share.proofs, share.prompts, share.served)


def test_what_users_got_is_told_once_a_strategy_counts_it() -> None:
    replica = heard()
    replica.fleet.route(REQUEST, "vtc-basic", 0.0)
    end(replica, route(replica))

    assert {"u": 120.0} == taken(replica, 1.0).served


def test_a_prompt_withdrawn_before_it_was_told_is_not_told_at_all() -> None:
    replica = heard()
    replica.fleet.withdraw(route(replica), 0.0)

    assert [] == taken(replica).prompts


def test_a_prompt_withdrawn_after_it_was_told_is_told_as_withdrawn() -> None:
    replica = heard()
    ticket = route(replica)
    taken(replica)
    replica.fleet.withdraw(ticket, 0.0)

    assert [("a", [5, 6], True)] == [
        (prompt.pod, list(array("q", prompt.blocks)), prompt.withdrawn) for prompt in taken(replica).prompts
    ]


def test_once_much_is_known_learning_from_others_costs_no_more_the_more_there_are() -> None:
    told = {}
    for siblings in (1, 7):
        replica = heard(siblings=siblings)
        for _ in range(LEARN_ALL_UNTIL):
            end(replica, route(replica))
        assert LEARN_ALL_UNTIL == len(taken(replica).samples)
        for _ in range(320):
            end(replica, route(replica))
        told[siblings] = len(taken(replica).samples)

    assert {siblings: 320 // (LEARN_ONE_IN * (siblings + 1)) for siblings in told} == told


def test_an_ejected_pod_is_told_with_the_rest_of_its_ejection() -> None:
    replica = heard()
    end(replica, route(replica), 1.0, failed=True, computed=False)

    assert [("a", 1, 0.75)] == [tuple(proof) for proof in taken(replica, 1.25).proofs]

    replica.fleet.record_failed_attempt(replica.pod("a").endpoint.address, 1.5)
    assert replica.take(1.5) is None  # it is ejected already


def test_the_load_of_a_pod_that_left_is_told_until_its_requests_end() -> None:
    replica = heard("a", "b")
    ticket = route(replica)
    taken(replica)
    left = ticket.pod.endpoint.id
    replica.fleet.replace(a_description(*(an_endpoint(name) for name in "ab" if name != left)), 1.0)
    assert [(left, 1)] == [load[:2] for load in taken(replica, 1.0).loads]

    replica.fleet.release(ticket, 2.0)
    assert [(left, 0)] == [load[:2] for load in taken(replica, 2.0).loads]


def test_a_pod_that_took_the_place_of_another_is_told_alone() -> None:
    replica = heard("a")
    ticket = route(replica)
    taken(replica)
    replica.fleet.replace(a_description(an_endpoint("a", started_at=5.0)), 1.0)
    assert [("a", 0)] == [load[:2] for load in taken(replica, 1.0).loads]

    replica.fleet.release(ticket, 2.0)
    assert [] == taken(replica, 2.0).loads


def test_everything_is_what_a_newcomer_needs() -> None:
    replica = heard("a", "b")
    replica.outbox.counters[MODEL] = {"u": 10.0}
    route(replica)
    end(replica, route(replica), failed=True, computed=False)
    replica.outbox.wait(MODEL, {"u": 1.5}, {"v": 2.5})
    taken(replica)
    replica.outbox.charge(MODEL, "u", 3.0)  # not told yet: it follows with the next message

    share = sent(replica.outbox.everything(1.0))
    loads = sorted((load.in_flight, load.prefill_tokens, load.sent) for load in share.loads)
    assert (True, [(0, 0, 1), (1, 100, 1)]) == (share.everything, loads)  # pods that were ever sent something
    assert [[5, 6]] == [list(array("q", prompt.blocks)) for prompt in share.prompts]
    assert [1] == [proof.failures for proof in share.proofs]
    assert {MODEL: {"u": 7.0}} == share.charged
    assert [(MODEL, {"u": 1.5}, {"v": 2.5})] == [tuple(row) for row in share.waiting]


def test_everything_has_the_latest_prompts_of_each_pod_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_TOLD_BLOCKS", 5)
    replica = heard()
    for first in (10, 20, 30):
        route(replica, REQUEST._replace(blocks=(first, first + 1)))

    prompts = replica.outbox.everything(0.0).prompts
    assert [[20, 21], [30, 31]] == [list(array("q", prompt.blocks)) for prompt in prompts]


def test_it_is_urgent_while_requests_wait_anywhere() -> None:
    replica = heard()
    outbox = replica.outbox
    route(replica)
    assert not outbox.is_urgent

    outbox.has_waiting_siblings = True
    assert outbox.is_urgent
    taken(replica)
    assert not outbox.is_urgent

    outbox.has_waiting_siblings = False
    outbox.wait(MODEL, {"u": 1.0}, {})
    assert outbox.is_urgent
    assert [(MODEL, {"u": 1.0}, {})] == [tuple(row) for row in taken(replica).waiting]
    outbox.wait(MODEL, {}, {})
    outbox.wait("other", {}, {})  # nobody waited
    assert [(MODEL, {}, {})] == [tuple(row) for row in taken(replica).waiting]


def test_no_more_is_told_than_others_accept() -> None:
    replica = heard()
    for number in range(MAX_USERS + 5):
        replica.outbox.charge(MODEL, f"user {number}", 1.0)
    route(replica, REQUEST._replace(blocks=tuple(range(40_000)), block_tokens=1.0))

    share = taken(replica)  # is decoded, and so within all bounds
    assert (MAX_USERS, 8 * MAX_BLOCKS) == (len(share.charged[MODEL]), len(share.prompts[0].blocks))


def test_many_prompts_and_samples_are_told_in_messages_that_hold_nobody_for_long() -> None:
    replica = heard()
    prompts = [(10 * number, 10 * number + 1) for number in range(600)]
    for blocks in prompts:
        end(replica, route(replica, REQUEST._replace(blocks=blocks)))

    shares = [taken(replica) for _ in range(3)]

    assert [256, 256, 88] == [len(share.prompts) for share in shares]
    assert prompts == [tuple(array("q", prompt.blocks)) for share in shares for prompt in share.prompts]
    assert 256 >= max(len(share.samples) for share in shares)
    assert replica.take() is None


def test_long_prompts_are_told_few_at_a_time_and_withdrawn_after_they_were_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "MAX_TOLD_BLOCKS", 5)
    replica = heard()
    first = route(replica, REQUEST._replace(blocks=(1, 2)))
    taken(replica)
    for blocks in ((3, 4, 5, 6), (7, 8), tuple(range(10, 20)), (9,)):
        route(replica, REQUEST._replace(blocks=blocks))
    replica.fleet.release(first, 1.0)
    replica.fleet.finish(first, Finished("a", REQUEST, 1.0, True, 1.0, None, 0, 0))

    told = [[(list(array("q", one.blocks)), one.withdrawn) for one in taken(replica).prompts] for _ in range(4)]

    assert [
        [([3, 4, 5, 6], False)], [([7, 8], False)], [(list(range(10, 20)), False)], [([9], False), ([1, 2], True)],
    ] == told  # fmt: skip
    assert replica.take() is None


def test_what_was_before_the_first_sibling_is_not_told_as_news() -> None:
    replica = Replica("x", "a")
    replica.pod("a").speed.known = True
    end(replica, route(replica))
    replica.hear(heartbeat("y"))
    route(replica)

    (load,) = taken(replica).loads
    assert load.prefill_s == pytest.approx(replica.pod("a").speed.prefill_s(100 - 80 + 0.0), rel=1.0)
    assert 0.0 == load.processed_tokens

    replica.fleet.forget("y", 0.0)
    route(replica)
    assert replica.take() is None


def test_the_key_of_block_hashes_is_told_by_its_digest() -> None:
    replica = heard()
    route(replica)
    assert taken(replica).prefix_key == key_digest(0)
    replica.fleet.set_prefix_key(17)

    assert 0 == replica.pod("a").cache.held
    route(replica)
    assert (17, key_digest(17)) == (replica.fleet.prefix_key, taken(replica).prefix_key)
