import pytest

from routing.strategy import Tools
from routing.table import UnknownStrategyError
from simulator.replay import baselines
from simulator.replay.baselines import reuse
from simulator.replay.traces import read
from tests.support.fleet_replay import MOONCAKE, a_request, sim_fleet


def test_round_robin_takes_pods_in_turn():
    fleet = sim_fleet(3)
    strategy = baselines.build("round-robin", Tools(None))  # it draws nothing

    picked = [strategy.pick(None, tuple(fleet.pods()), 0.0).pod.name for _ in range(4)]

    assert ["pod-0", "pod-1", "pod-2", "pod-0"] == picked


def test_the_gateways_strategies_are_known_by_their_names():
    baselines.check("round-robin")
    baselines.check("least-request")

    assert "least-request" == baselines.build("least-request", Tools(None)).name
    with pytest.raises(UnknownStrategyError):
        baselines.check("nonsense")


def test_reuse_counts_what_an_endless_cache_finds():
    trace = [a_request(prompt=1024, ids=[1, 2]), a_request(prompt=1024, ids=[1, 3])]

    assert 512 / 2048 == reuse(trace, 64, None)


def test_the_last_token_of_a_prompt_is_never_found():
    assert (1024 - 64) / 2048 == reuse([a_request(prompt=1024, ids=[1, 2])] * 2, 64, None)


def test_a_small_cache_loses_the_tail_first():
    trace = [a_request(prompt=1024, output=1, ids=[1, 2]), a_request(prompt=512, output=1, ids=[3])]

    # 16 + 1 and 8 + 1 blocks: the second evicts the first answer's block and the last blocks of its prompt
    assert 1024 - 64 == 2560 * reuse([*trace, trace[0]], 64, 26)
    assert 8 * 64 == 2560 * reuse([*trace, trace[0]], 64, 17)


def test_nothing_is_reused_of_nothing():
    assert 0.0 == reuse([], 64, None)


def test_the_ceilings_of_the_synthetic_trace_are_those_that_others_found():
    trace = read(MOONCAKE)

    assert 0.541 == pytest.approx(reuse(trace, 64, 8 * 16_384), abs=0.005)
    assert 0.651 == pytest.approx(reuse(trace, 64, None), abs=0.005)
