"""The default strategy: seconds of wait, prefill and eviction_cost."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from gateway.discovery.probing.readings import Readings
from gateway.fleet.pod import RAMP_S, Pod
from routing.pods.adapters import AdapterUse
from routing.pods.load import Work
from routing.strategies.forebay import MAX_BY_PREFIX, MAX_SCORED, RANDOM_SAMPLE
from routing.strategy import Tools
from routing.table import build
from routing.types import Signal
from tests.support.choosing import REQUEST, asking_for, decided, picked
from tests.support.pods import an_endpoint, pods_with

BLOCKS = range(1, 11)


def known(*in_flight: int) -> list[Pod]:
    """Pods of equal, known speed: 10 ms and 0.1 ms a token."""
    pods = pods_with(*in_flight)
    for pod in pods:
        pod.speed.fixed_s, pod.speed.token_s, pod.speed.output_s, pod.speed.known = 0.01, 1e-4, 0.01, True
    return pods


def test_the_pod_that_holds_the_prompt_wins_while_it_is_free() -> None:
    pods = known(0, 0, 0)
    pods[1].cache.insert(BLOCKS, 0, 0.0)

    assert picked("forebay", pods, asking_for(pods, BLOCKS)) == {"p1"}


def test_a_beginning_in_common_is_worth_no_more_than_its_tokens() -> None:
    pods = known(0, 0)
    pods[1].cache.insert(BLOCKS[:1], 0, 0.0)
    request = asking_for(pods, BLOCKS)._replace(first_block_missing_tokens=90.0)
    scored = build("forebay", Tools(random.Random(1))).score(request, pods, 0.0)

    assert scored.scores[0] - scored.scores[1] == pytest.approx(2 * 10 * 1e-4)


def test_a_hot_prefix_gets_a_second_home_when_waiting_costs_more_than_computing_it() -> None:
    pods = known(0, 1, 0)
    pods[1].cache.insert(BLOCKS, 0, 0.0)
    pods[2].prefill_done_at_s = 5.0

    pods[1].prefill_done_at_s = 0.15
    assert picked("forebay", pods, asking_for(pods, BLOCKS)) == {"p1"}
    pods[1].prefill_done_at_s = 0.25
    assert picked("forebay", pods, asking_for(pods, BLOCKS)) == {"p0"}


def test_evicted_blocks_count_unless_they_will_not_be_reused() -> None:
    pods = known(0, 0)
    pods[0].cache.budget = 10
    pods[0].cache.insert(range(100, 110), 0, 0.0)
    request = asking_for(pods, BLOCKS)

    assert picked("forebay", pods, request) == {"p1"}
    pods[0].cache.index.reuse._chances = [0.0] * len(pods[0].cache.index.reuse._chances)
    assert picked("forebay", pods, request) == {"p0", "p1"}


def test_a_faster_pod_gets_more_without_being_configured() -> None:
    pods = known(0, 0)
    pods[1].speed.token_s = 3e-4

    assert picked("forebay", pods) == {"p0"}
    pods[0].prefill_done_at_s = 0.5
    assert picked("forebay", pods) == {"p1"}


def test_of_equals_the_one_with_fewer_in_flight_is_taken() -> None:
    assert picked("forebay", known(2, 1, 1)) == {"p1", "p2"}


def test_the_reason_gives_the_parts_and_what_is_held() -> None:
    pods = known(3)
    pods[0].cache.insert(BLOCKS[:5], 0, 0.0)
    pods[0].prefill_done_at_s = 0.02
    decision = decided("forebay", pods, asking_for(pods, BLOCKS))

    assert decision.reason == "wait 20 + prefill 120 + eviction cost 0 + decode slowdown 9 ms, 500 of 1000 tokens held"
    assert decision.fallback == ""


def loaded_by_others(pods: list[Pod], running: float, waiting: float) -> None:
    """All pods but the last have this foreign load, and signals until 9 s."""
    for pod in pods[:-1]:
        pod.apply_readings(Readings({Signal.RUNNING: running, Signal.WAITING: waiting}), 0.0, fresh_until_s=9.0)


@pytest.mark.parametrize("made", [known, pods_with])
@pytest.mark.parametrize(("running", "waiting"), [(8, 60), (0, 60), (30, 0)])
def test_requests_avoid_pods_that_others_load(made: Callable[..., list[Pod]], running: float, waiting: float) -> None:
    pods = made(0, 0, 0)
    loaded_by_others(pods, running, waiting)

    decision = decided("forebay", pods)
    assert decision.pod.id == "p2"
    assert "foreign load on 2 of 3 pods" in decision.reason
    pods[2].start(Work(2000, 2000, 10, None), 0.0)
    assert decided("forebay", pods).pod.id == ("p2" if waiting or made is pods_with else "p0")


@pytest.mark.parametrize("made", [known, pods_with])
def test_foreign_load_counts_no_longer_than_signals_do(made: Callable[..., list[Pod]]) -> None:
    pods = made(0, 0, 0)
    loaded_by_others(pods, 8, 60)

    assert picked("forebay", pods, now_s=9.0) == {"p2"}
    assert picked("forebay", pods, now_s=9.1) == {"p0", "p1", "p2"}
    assert "foreign" not in decided("forebay", pods, now_s=9.1).reason


@pytest.mark.parametrize("strategy", ["least-request", "vtc-basic"])
def test_other_strategies_go_by_our_own_counts(strategy: str) -> None:
    pods = pods_with(0, 0, 0)
    unloaded = picked(strategy, pods)
    loaded_by_others(pods, 8, 60)

    assert picked(strategy, pods) == unloaded


def test_before_any_speed_is_known_uncached_tokens_times_load_decide_and_it_says_so() -> None:
    pods = pods_with(3, 1, 0)
    pods[0].cache.insert(BLOCKS[:9], 0, 0.0)

    decision = decided("forebay", pods, asking_for(pods, BLOCKS))

    assert decision.pod.id == "p0"  # 100 x 4 against 1000 x 2 and 1000 x 1
    assert decision.reason == "900 of 1000 tokens held, 3 in flight, fallback=speed-unknown"


def test_a_pod_of_unknown_speed_counts_as_fast_as_the_slowest() -> None:
    pods = known(0, 0, 0)
    pods[1].speed.token_s = 5e-4
    pods[2].speed.known = False
    pods[2].speed.token_s = 1e-9

    assert picked("forebay", pods) == {"p0"}


def test_a_new_pod_ramps_up_instead_of_drawing_everything() -> None:
    pods = known(0, 0)
    pods[0].prefill_done_at_s = RAMP_S + 100.05
    new = Pod(an_endpoint("new"), pods[0].cache.index.join(1000), joined_s=100.0, kind=pods[0].speed)

    def choice(now_s: float, wait_s: float) -> set[str]:
        for pod in pods:
            pod.prefill_done_at_s = now_s + wait_s
        return picked("forebay", [*pods, new], now_s=now_s)

    assert choice(101.0, wait_s=0.1).isdisjoint({"new"})
    assert choice(101.0, wait_s=5.0) == {"new"}
    assert choice(100.0 + RAMP_S, wait_s=0.1) == {"new"}


def test_of_many_pods_those_with_the_prefix_and_a_random_sample_are_scored() -> None:
    pods = known(*[0] * 1000)
    pods[777].cache.insert(BLOCKS, 0, 0.0)
    strategy = build("forebay", Tools(random.Random(1)))
    candidates = tuple(pods)
    scored = strategy.score(asking_for(pods, BLOCKS), candidates, 0.0)

    assert len(scored.pods) in {RANDOM_SAMPLE, RANDOM_SAMPLE + 1}
    assert strategy.pick(asking_for(pods, BLOCKS), candidates, 0.0).pod.id == "p777"
    spread = Counter(strategy.pick(REQUEST, candidates, 0.0).pod.id for _ in range(2000))
    assert len(spread) > 700


def test_a_prefix_that_everybody_holds_does_not_make_everybody_a_candidate() -> None:
    pods = known(*[0] * (2 * MAX_SCORED))
    for pod in pods:
        pod.cache.insert(BLOCKS, 0, 0.0)

    assert (
        len(build("forebay", Tools(random.Random(1))).score(asking_for(pods, BLOCKS), pods, 0.0).pods)
        <= MAX_BY_PREFIX + RANDOM_SAMPLE
    )


def test_only_candidates_are_found_through_the_index() -> None:
    pods = known(*[0] * 200)
    pods[0].cache.insert(BLOCKS, 0, 0.0)

    assert "p0" not in picked("forebay", tuple(pods[1:]), asking_for(pods, BLOCKS))


def test_an_adapter_goes_where_it_runs_unless_that_costs_more() -> None:
    pods = known(0, 0, 0)
    pods[1].adapters.use("adapter")
    pods[2].apply_readings(Readings(adapters=AdapterUse(frozenset(["adapter"]))), 0.0, fresh_until_s=9.0)
    request = REQUEST._replace(model="adapter")

    assert picked("forebay", pods, request, now_s=1.0) == {"p1", "p2"}
    pods[1].adapters.use("another")
    assert picked("forebay", pods, request, now_s=1.0) == {"p2"}
    pods[2].prefill_done_at_s = 30.0
    assert picked("forebay", pods, request, now_s=1.0) == {"p0", "p1"}


def test_an_adapter_goes_where_it_is_loaded_before_any_speed_is_known() -> None:
    pods = pods_with(0, 1, 0)
    pods[1].adapters.use("adapter")
    request = REQUEST._replace(model="adapter", prompt_tokens=100)

    assert picked("forebay", pods, request) == {"p1"}
    assert picked("forebay", pods, request._replace(prompt_tokens=2000)) == {"p0", "p2"}  # a second copy costs less
