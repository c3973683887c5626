"""The line of replicas at an open pod: agreed without a message, another one after each request, and moving."""

from collections import Counter
from math import inf

import pytest

from gateway.fleet.pod import Pod
from routing.turns import FIRST, HOLD_S, LAPSED_S, TURN_S, Place, Turn, Turns
from tests.support.pods import a_pod

REPLICAS = ("a", "b", "c", "d")


def places(pod: Pod, *replicas: str, now_s: float = 0.0) -> dict[str, float]:
    """How many each of these replicas sees before it, by its own view."""
    return {
        replica: Turn(Turns(replica), [other for other in replicas if other != replica], True).place(pod, now_s).before
        for replica in replicas
    }


def first(pod: Pod, *replicas: str) -> str:
    return next(replica for replica, before in places(pod, *replicas).items() if not before)


def test_each_replica_has_a_place_of_its_own() -> None:
    for number in range(20):
        assert [0, 1, 2, 3] == sorted(places(a_pod(f"p{number}"), *REPLICAS).values())


def test_with_each_request_the_line_is_another_one_and_each_replica_is_first_as_often() -> None:
    pod, turns = a_pod(), Counter[str]()
    for pod.sent in range(400):
        turns[first(pod, *REPLICAS)] += 1

    assert min(turns.values()) > 60


def test_different_pods_have_different_lines() -> None:
    assert {*REPLICAS} == {first(a_pod(f"p{number}"), *REPLICAS) for number in range(20)}


def test_a_replica_that_leaves_makes_nobody_else_change_places() -> None:
    for number in range(50):
        pod = a_pod(f"p{number}")
        assert first(pod, *REPLICAS) in {first(pod, *REPLICAS[:3]), "d"}


def test_without_rivals_one_is_first() -> None:
    assert FIRST == Turn(Turns("a"), [], True).place(a_pod(), 0.0)
    assert FIRST == Turn(Turns("a"), [], False).place(a_pod(), 0.0)


def test_one_moves_up_while_nothing_is_sent_to_the_open_pod() -> None:
    pod = a_pod()
    last = max(REPLICAS, key=lambda replica: places(pod, *REPLICAS)[replica])
    turn = Turn(Turns(last), [other for other in REPLICAS if other != last], True)

    assert Place(3, TURN_S) == turn.place(pod, 0.0)
    before, lasts_s = turn.place(pod, 1.5 * TURN_S)
    assert (2, TURN_S / 2) == (before, pytest.approx(lasts_s))
    assert FIRST == turn.place(pod, 3.5 * TURN_S)


def test_a_request_of_another_begins_a_new_line() -> None:
    pod, turn = a_pod(), Turn(Turns("me"), REPLICAS, True)
    while turn.place(pod, 0.0) == FIRST:
        pod.sent += 1
    assert FIRST == turn.place(pod, 10 * TURN_S)
    pod.sent += 1
    while (place := turn.place(pod, 10 * TURN_S)) == FIRST:
        pod.sent += 1

    assert pytest.approx(TURN_S) == place.lasts_s


def test_a_pod_that_was_closed_meanwhile_has_a_new_line() -> None:
    pod, turn = a_pod(), Turn(Turns("me"), REPLICAS, False)
    turn.place(pod, 0.0)
    later_s = HOLD_S + LAPSED_S

    assert (inf, pytest.approx(HOLD_S)) == turn.place(pod, later_s)


def test_a_user_who_was_served_more_waits_for_the_others_and_not_for_ever() -> None:
    pod, turn = a_pod(), Turn(Turns("me"), REPLICAS, False)

    assert [inf, inf, 0] == [turn.place(pod, now_s).before for now_s in (0.0, HOLD_S / 2, HOLD_S)]


def test_lines_are_forgotten_when_requests_wait_here_only() -> None:
    pod, turn = a_pod(), Turn(Turns("me"), REPLICAS, False)
    turn.place(pod, 0.0)
    turn.turns.clear()

    assert (inf, pytest.approx(HOLD_S)) == turn.place(pod, HOLD_S)
