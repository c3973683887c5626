"""Ties over replicas: what four fleets choose that know nothing of each other's picks."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fleet.fleet import Fleet
from routing.pods.load import Work
from routing.ties import EPOCH_S, Ties
from routing.types import RouteRequest
from tests.support.pods import MODEL, a_fleet, an_endpoint

PODS, REQUESTS, REPLICAS = 16, 32, 4
KNOWN, UNKNOWN = "forebay with known speeds", "forebay with unknown speeds"
REQUEST = RouteRequest(MODEL, prompt_tokens=500, output_tokens=50)


def replicas(count: int = REPLICAS, *, known: bool = False, ahead_s: float = 0.0) -> list[Fleet]:
    """Fleets of the same 16 idle pods, each with a place among all."""
    fleets = []
    for rank in range(count):
        fleet = a_fleet(*[an_endpoint(f"p{number:02}") for number in range(PODS)], seed=rank)
        fleet.ties.among(rank, count, ahead_s)
        fleets.append(fleet)
        for pod in fleet.pods():
            pod.speed.fixed_s, pod.speed.token_s, pod.speed.output_s, pod.speed.known = 0.01, 1e-4, 0.01, known
    return fleets


def burst(fleets: Sequence[Fleet], shares: Sequence[int], strategy: str, now_s: float = 5.0) -> Counter[str]:
    """How many of a burst each pod gets when every fleet has its share of it."""
    return Counter(
        fleet.route(REQUEST, strategy, now_s).decision.pod.id
        for fleet, share in zip(fleets, shares, strict=True)
        for _ in range(share)
    )


@pytest.mark.parametrize("strategy", ["least-request", KNOWN, UNKNOWN])
def test_a_burst_that_is_divided_evenly_gives_every_pod_the_same(strategy: str) -> None:
    sent = burst(replicas(known=strategy == KNOWN), [REQUESTS // REPLICAS] * REPLICAS, strategy.partition(" ")[0])

    assert {2} == set(sent.values())
    assert PODS == len(sent)


@pytest.mark.parametrize("strategy", ["least-request", KNOWN, UNKNOWN])
@given(cuts=st.lists(st.integers(0, REQUESTS), min_size=REPLICAS - 1, max_size=REPLICAS - 1), now_s=st.floats(0, 1e5))
@settings(deadline=None, max_examples=30)
def test_no_pod_gets_more_than_3_however_a_burst_is_divided(strategy: str, cuts: list[int], now_s: float) -> None:
    ends = [0, *sorted(cuts), REQUESTS]
    shares = [end - start for start, end in pairwise(ends)]

    sent = burst(replicas(known=strategy == KNOWN), shares, strategy.partition(" ")[0], now_s)

    assert max(sent.values()) <= 3


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_other_numbers_of_replicas_complement_each_other_too(count: int) -> None:
    fleets = replicas(count)
    shares = [REQUESTS // count + (rank < REQUESTS % count) for rank in range(count)]

    assert max(burst(fleets, shares, "least-request").values()) <= 3


def test_a_burst_goes_on_in_the_order_in_which_it_began() -> None:
    fleets, late_s = replicas(), EPOCH_S * 7 - 0.01

    sent = burst(fleets, [4] * REPLICAS, "least-request", late_s)
    sent += burst(fleets, [4] * REPLICAS, "least-request", late_s + 0.02)

    assert {2} == set(sent.values())


def test_clocks_that_differ_by_an_hour_make_no_difference() -> None:
    fleets = replicas()
    fleets[0].ties.among(0, REPLICAS, -3600.0)
    sent = burst(fleets[:1], [8], "least-request", 3605.0)

    assert {2} == set((sent + burst(fleets[1:], [8] * 3, "least-request", 5.0)).values())


@pytest.mark.parametrize("rank", range(REPLICAS))
def test_requests_one_by_one_use_all_pods_over_time(rank: int) -> None:
    fleet = replicas()[rank]
    used: Counter[str] = Counter()
    for second in range(4 * PODS):
        ticket = fleet.route(REQUEST, "least-request", float(second))
        fleet.release(ticket, second + 0.5)
        used[ticket.pod.endpoint.id] += 1

    assert PODS == len(used)
    assert max(used.values()) <= 2 * 4


def test_an_order_changes_though_pods_are_never_all_idle() -> None:
    fleet = replicas()[0]
    next(iter(fleet.pods())).start(Work(1, 1, 1, None), 0.0)

    used = set()
    for second in range(4 * PODS):
        ticket = fleet.route(REQUEST, "least-request", float(second))
        fleet.release(ticket, second + 0.5)
        used.add(ticket.pod.endpoint.id)

    assert len(used) == PODS - 1


def test_a_replica_alone_chooses_at_random() -> None:
    ties = Ties(random.Random(1))

    assert {ties.choose([1, 3, 6], 8, 0.0) for _ in range(50)} == {1, 3, 6}
    ties.among(2, 4, 0.0)
    assert len({ties.choose([1, 3, 6], 8, 0.0) for _ in range(50)}) == 1
    ties.among(0, 1, 0.0)
    assert len({ties.choose([1, 3, 6], 8, 0.0) for _ in range(50)}) == 3
