"""Random routing."""

import random
from collections import Counter

from routing.strategies.random_choice import RandomChoice
from routing.types import RouteRequest
from tests.support.pods import MODEL, a_pod


def test_every_candidate_is_about_equally_likely_whatever_its_load() -> None:
    pods = [a_pod("a", in_flight=100), a_pod("b"), a_pod("c"), a_pod("d")]
    strategy = RandomChoice(random.Random(1), fallbacks=0)

    picks = Counter(strategy.pick(RouteRequest(MODEL), pods, 0.0).pod.id for _ in range(4000))

    assert set(picks) == set("abcd")
    assert all(900 < count < 1100 for count in picks.values())


def test_fallbacks_come_in_random_order_too() -> None:
    pods = [a_pod(name) for name in "abc"]
    strategy = RandomChoice(random.Random(1), fallbacks=2)

    orders = {strategy.pick(RouteRequest(MODEL), pods, 0.0).destinations for _ in range(200)}

    assert len(orders) == 6


def test_the_reason_says_among_how_many() -> None:
    decision = RandomChoice(random.Random(1), fallbacks=2).pick(RouteRequest(MODEL), [a_pod("a"), a_pod("b")], 0.0)

    assert decision.reason == "random of 2"
