"""Choosing by scores."""

import random
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.pods.load import InFlight
from routing.scoring import blurred, lowest, normalised
from routing.ties import Ties
from routing.types import Scored
from tests.support.pods import pods_with


@settings(deadline=None)
@given(scores=st.lists(st.integers(0, 5), min_size=1, max_size=30), wanted=st.integers(1, 6), seed=st.integers(0, 9))
def test_the_lowest_come_in_order_each_once(scores: list[int], wanted: int, seed: int) -> None:
    ranked = lowest(scores, wanted, Ties(random.Random(seed)))

    assert len(set(ranked)) == len(ranked) == min(wanted, len(scores))
    assert [scores[index] for index in ranked] == sorted(scores)[:wanted]


def test_equals_come_in_random_order() -> None:
    orders = {tuple(lowest([1, 0, 1, 1], 3, Ties(random.Random(seed)))) for seed in range(100)}

    assert orders == {(1, a, b) for a in (0, 2, 3) for b in (0, 2, 3) if a != b}


def test_infinite_scores_are_chosen_when_there_is_nothing_else() -> None:
    assert sorted(lowest([inf, 1.0, inf], 3, Ties(random.Random(1)))) == [0, 1, 2]


def test_in_a_burst_what_one_request_makes_equal_is_equal_and_fewest_of_our_own_come_first() -> None:
    pods = pods_with(0, 1, 1, 2)
    pods[1].elsewhere = InFlight(1)
    scored = Scored(pods, [pod.in_flight for pod in pods])

    first, sibling, own, beyond = blurred(scored, 1.0)
    assert first == sibling < own < beyond == 2
    assert blurred(scored, 0.0) == [0, 1, 1, 2]


def test_scores_become_shares_of_the_way_from_the_lowest_to_the_highest() -> None:
    assert normalised([3.0, 1.0, 2.0, inf]) == [1.0, 0.0, 0.5, 1.0]


def test_equal_scores_say_nothing() -> None:
    assert normalised([4.0, 4.0]) == [0.0, 0.0]
    assert normalised([inf, inf]) == [1.0, 1.0]
