"""Strategies that are random on purpose."""

import random
from collections import Counter

from routing.strategy import Tools
from routing.table import build
from tests.support.choosing import REQUEST, decided
from tests.support.pods import pods_with


def picks(name: str, *in_flight: int) -> Counter[str]:
    strategy, pods = build(name, Tools(random.Random(1))), pods_with(*in_flight)
    return Counter(strategy.pick(REQUEST, pods, 0.0).pod.id for _ in range(4000))


def test_every_candidate_is_about_equally_likely_whatever_its_load() -> None:
    counts = picks("random", 100, 0, 0, 0)

    assert set(counts) == {"p0", "p1", "p2", "p3"}
    assert all(900 < count < 1100 for count in counts.values())


def test_random_fallbacks_come_in_random_order_too() -> None:
    strategy, pods = build("random", Tools(random.Random(1))), pods_with(0, 0, 0)

    assert len({strategy.pick(REQUEST, pods, 0.0).destinations for _ in range(200)}) == 6


def test_the_reason_says_among_how_many() -> None:
    assert decided("random", pods_with(0, 0)).reason == "random of 2"
    assert decided("power-of-two", pods_with(4)).reason == "4 in flight, best of 1 drawn"


def test_of_four_pods_the_two_least_loaded_get_five_in_six_and_the_fullest_none() -> None:
    counts = picks("power-of-two", 9, 3, 1, 0)

    assert counts["p0"] == 0
    assert 0.45 < counts["p3"] / 4000 < 0.55
    assert 0.28 < counts["p2"] / 4000 < 0.38
