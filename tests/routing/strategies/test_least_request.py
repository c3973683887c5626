"""Least-request routing."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.strategies.least_request import LeastRequest
from routing.types import Decision, RouteRequest
from tests.support.pods import MODEL, a_pod


def pick(*loads: int, seed: int = 1, fallbacks: int = 2) -> Decision:
    pods = [a_pod(str(position), in_flight=load) for position, load in enumerate(loads)]
    return LeastRequest(random.Random(seed), fallbacks).pick(RouteRequest(MODEL), pods, now_s=0.0)


def test_the_pod_with_the_fewest_in_flight_is_picked() -> None:
    assert pick(3, 1, 2).pod.id == "1"


def test_ties_are_broken_only_among_the_least_loaded_and_reach_all_of_them() -> None:
    picks = {pick(2, 1, 1, 5, 1, seed=seed).pod.id for seed in range(50)}

    assert picks == {"1", "2", "4"}


def test_fallbacks_are_the_next_fewest() -> None:
    assert [endpoint.id for endpoint in pick(9, 4, 1, 7, 2).fallbacks] == ["4", "1"]


def test_fallbacks_that_tie_are_chosen_at_random() -> None:
    fallbacks = {tuple(endpoint.id for endpoint in pick(1, 0, 1, 1, seed=seed).fallbacks) for seed in range(100)}

    assert fallbacks == {("0", "2"), ("0", "3"), ("2", "0"), ("2", "3"), ("3", "0"), ("3", "2")}


def test_the_reason_gives_the_load_and_the_tie() -> None:
    assert pick(2, 1, 1).reason == "1 in flight, 2 of 3 tied"


@settings(deadline=None)
@given(loads=st.lists(st.integers(0, 5), min_size=1, max_size=30), fallbacks=st.integers(0, 5), seed=st.integers(0, 9))
def test_primary_and_fallbacks_have_the_least_loads_in_order(loads: list[int], fallbacks: int, seed: int) -> None:
    decision = pick(*loads, seed=seed, fallbacks=fallbacks)

    named = [loads[int(endpoint.id)] for endpoint in (decision.pod, *decision.fallbacks)]

    assert named == sorted(loads)[: 1 + fallbacks]
