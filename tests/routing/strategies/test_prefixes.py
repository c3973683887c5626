"""Strategies that prefer the pod with most of the prompt cached."""

import pytest

from tests.support.choosing import asking_for, decided, picked
from tests.support.pods import pods_with

BLOCKS = range(1, 11)
HOLDERS = ("prefix-cache", "prefix-cache-and-load", "prefix-cache-preble")


@pytest.mark.parametrize("name", HOLDERS)
def test_the_pod_that_holds_most_wins(name: str) -> None:
    pods = pods_with(0, 1, 1)
    pods[1].cache.insert(BLOCKS[:4], 0, 0.0)
    pods[2].cache.insert(BLOCKS[:9], 0, 0.0)

    assert picked(name, pods, asking_for(pods, BLOCKS)) == {"p2"}
    assert decided(name, pods, asking_for(pods, BLOCKS)).reason == "900 of 1000 tokens held, 1 in flight"


@pytest.mark.parametrize("name", HOLDERS)
def test_a_prompt_without_blocks_goes_by_load_and_says_so(name: str) -> None:
    pods = pods_with(2, 1, 3)
    for pod in pods:
        pod.prefill_tokens = pod.in_flight

    assert picked(name, pods) == {"p1"}
    assert decided(name, pods).fallback == "no-blocks"


def test_a_hot_spot_does_not_draw_more() -> None:
    pods = pods_with(20, 1, 0)
    pods[0].cache.insert(BLOCKS, 0, 0.0)
    pods[1].cache.insert(BLOCKS[:2], 0, 0.0)

    assert picked("prefix-cache", pods, asking_for(pods, BLOCKS)) == {"p1"}


@pytest.mark.parametrize(("waiting", "chosen"), [(500, "p0"), (1500, "p1")])
def test_load_and_what_is_held_are_one_sum_of_tokens(waiting: float, chosen: str) -> None:
    pods = pods_with(1, 1)
    pods[0].cache.insert(BLOCKS[:9], 0, 0.0)
    pods[0].prefill_tokens = waiting

    assert picked("prefix-cache-and-load", pods, asking_for(pods, BLOCKS)) == {chosen}
