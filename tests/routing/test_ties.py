"""Ties over replicas: what four fleets choose that know nothing of each other's picks."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fleet.fleet import Fleet
from gateway.sharing.messages import Share
from routing.pods.engine_totals import NO_TOTALS
from routing.pods.foreign import Reported
from routing.pods.load import NONE_IN_FLIGHT, InFlight
from routing.ties import EPOCH_S, OVERLAP_S, Ties
from routing.types import RouteRequest, Slo
from tests.support.pods import MODEL, a_fleet, an_endpoint
from tests.support.replicas import Replica, acquainted

PODS, REQUESTS, REPLICAS = 16, 32, 4
KNOWN, UNKNOWN = "forebay with known speeds", "forebay with unknown speeds"
REQUEST = RouteRequest(MODEL, prompt_tokens=500, output_tokens=50)
TELLS = Share("", 0)
"""Stands for a replica's turn to tell what it did."""


def replicas(count: int = REPLICAS, *, known: bool = False, ahead_s: float = 0.0) -> list[Fleet]:
    """Fleets of the same 16 idle pods, each with a place among all."""
    fleets = []
    for rank in range(count):
        fleet = a_fleet(*[an_endpoint(f"p{number:02}") for number in range(PODS)], seed=rank)
        fleet.ties.among(rank, count, ahead_s)
        fleets.append(fleet)
        set_speeds(fleet, known=known)
    return fleets


def set_speeds(fleet: Fleet, *, known: bool) -> None:
    for pod in fleet.pods():
        pod.speed.fixed_s, pod.speed.token_s, pod.speed.output_s, pod.speed.known = 0.01, 1e-4, 0.01, known


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
    shares = [end - start for start, end in itertools.pairwise(ends)]

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


def test_a_burst_of_which_a_replica_has_heard_before_its_own_part_is_no_reason_for_another_order() -> None:
    fleets = replicas()
    for fleet in fleets:
        fleet.release(fleet.route(REQUEST, "least-request", EPOCH_S / 2), EPOCH_S / 2)
    late = next(pod for pod in fleets[3].pods() if pod.endpoint.id == "p00")
    late.count_elsewhere(NONE_IN_FLIGHT, InFlight(1), 1.5 * EPOCH_S)

    assert max(burst(fleets, [8] * REPLICAS, "least-request", 1.5 * EPOCH_S).values()) <= 3


def test_clocks_that_differ_by_an_hour_make_no_difference() -> None:
    fleets = replicas()
    fleets[0].ties.among(0, REPLICAS, -3600.0)
    sent = burst(fleets[:1], [8], "least-request", 3605.0)

    assert {2} == set((sent + burst(fleets[1:], [8] * 3, "least-request", 5.0)).values())


@pytest.mark.parametrize("rank", range(REPLICAS))
@pytest.mark.parametrize("pause_s", [0.01, 1.0])
def test_requests_one_by_one_use_all_pods_over_time(rank: int, pause_s: float) -> None:
    fleet = replicas()[rank]
    used: Counter[str] = Counter()
    for turn in range(4 * PODS):
        for now_s in (turn * EPOCH_S + OVERLAP_S, turn * EPOCH_S + OVERLAP_S + pause_s):
            ticket = fleet.route(REQUEST, "least-request", now_s)
            fleet.release(ticket, now_s)
        used[ticket.pod.endpoint.id] += 1

    assert PODS == len(used)
    assert max(used.values()) <= 2 * 4


def late_burst(strategy: str, spread_s: float, seed: int) -> int:
    """The most requests on a pod of a burst that takes `spread_s` to arrive, of which replicas hear in the meantime.

    Requests come to replicas in any order; each tells every 50 ms what it sent, which takes up to 30 ms to be heard.
    """
    rng = random.Random(seed)
    told = [Replica(f"{rank:012x}", *[f"p{number:02}" for number in range(PODS)]) for rank in range(REPLICAS)]
    acquainted(*told)
    for rank, replica in enumerate(told):
        replica.fleet.ties.among(rank, REPLICAS, 0.0)
        set_speeds(replica.fleet, known=strategy == KNOWN)
    start_s, count, sent = 100 + rng.random(), itertools.count(), Counter[str]()
    events = [(start_s + rng.uniform(0, spread_s), next(count), number % REPLICAS, None) for number in range(REQUESTS)]
    for rank in range(REPLICAS):
        phase_s = start_s - rng.uniform(0, 0.05)
        events += [(phase_s + turn * 0.05, next(count), rank, TELLS) for turn in range(int(spread_s / 0.05) + 2)]
    heapify(events)
    while events:
        now_s, _, rank, share = heappop(events)
        if share is None:
            sent[told[rank].fleet.route(REQUEST, strategy.partition(" ")[0], now_s).decision.pod.id] += 1
        elif share is not TELLS:
            told[rank].hear(share, now_s)
        elif (news := told[rank].take(now_s)) is not None:
            for other in {*range(REPLICAS)} - {rank}:
                heappush(events, (now_s + rng.uniform(0.001, 0.03), next(count), other, news))
    return max(sent.values())


@pytest.mark.parametrize("strategy", ["least-request", KNOWN, UNKNOWN])
@pytest.mark.parametrize("spread_s", [0.03, 0.1, 0.3])
def test_a_burst_of_which_only_a_part_is_heard_in_time_is_divided_as_well(strategy: str, spread_s: float) -> None:
    most = Counter(late_burst(strategy, spread_s, seed) for seed in range(20))

    assert most[2] + most[3] == 20
    assert most[2] >= 15


def test_a_burst_is_requests_that_follow_each_other_closely_and_a_replica_alone_has_no_part_of_one() -> None:
    ties = Ties(random.Random(1))

    def bursts(*times_s: float) -> list[bool]:
        found = []
        for now_s in times_s:
            ties.note(now_s)
            found.append(ties.is_burst)
        return found

    assert bursts(0.0, 0.0, 0.01) == [False, False, False]

    ties.among(1, 2, 0.0)
    times_s = (10.0, 10.0, 10.04, 10.10, 10.40, 10.50, 10.60, 11.00)
    assert bursts(*times_s) == [False, True, True, True, False, False, True, False]
    ties.among(0, 1, 0.0)
    assert bursts(11.00) == [False]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_request_for_which_pods_are_chosen_twice_is_no_burst(rank: int) -> None:
    """The pod that the strategy likes best is closed, so that it chooses again, among those that are open."""
    slo = Slo(ttft_s=1.0, itl_s=inf)
    fleet = a_fleet(*[an_endpoint(name) for name in ("closed", "p1", "p2")])
    fleet.ties.among(rank, 2, 0.0)
    set_speeds(fleet, known=True)
    for requests, pod in enumerate(fleet.pods()):
        pod.count_elsewhere(NONE_IN_FLIGHT, InFlight(requests), 5.0)
    next(fleet.pods()).foreign.observe(Reported(waiting=1000.0), NO_TOTALS, 0, 5.0, 9.0)

    assert fleet.route(REQUEST._replace(slo=slo), "least-request", 5.0).decision.pod.id == "p1"


def test_what_siblings_have_counts_in_full_when_requests_come_one_by_one() -> None:
    fleet = replicas()[0]
    idle = "p05"
    for pod in fleet.pods():
        if pod.endpoint.id != idle:
            pod.count_elsewhere(NONE_IN_FLIGHT, InFlight(1), 0.0)

    assert fleet.route(REQUEST, "least-request", 100.0).decision.pod.id == idle
    assert fleet.route(REQUEST, "least-request", 100.01).decision.pod.id != idle


def test_a_replica_alone_chooses_at_random() -> None:
    ties = Ties(random.Random(1))

    assert {ties.choose([1, 3, 6], 8) for _ in range(50)} == {1, 3, 6}
    ties.among(2, 4, 0.0)
    assert len({ties.choose([1, 3, 6], 8) for _ in range(50)}) == 1
    ties.among(0, 1, 0.0)
    assert len({ties.choose([1, 3, 6], 8) for _ in range(50)}) == 3
