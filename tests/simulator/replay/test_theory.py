"""The model against queueing theory and against figures that an independent simulator of the same fit gives."""

import random
import time
from collections import Counter
from itertools import accumulate

import pytest

from forebay.simulation.comparison import Comparer, Options
from simulator.core.engine import Engine
from simulator.core.gpus import GpuProfile
from simulator.core.speed import LinearSpeed
from simulator.replay.report import Comparison
from simulator.replay.summary import Slo, Summary
from simulator.replay.traces import TraceRequest
from tests.support.fleet_replay import MOONCAKE, a_replay, sim_fleet

TOKENS_PER_S = 1000
SERIAL = GpuProfile(
    LinearSpeed(0.0, 1 / TOKENS_PER_S, 0.0, 0.0, 0.0),
    kv_blocks=10**5, block_tokens=512, pass_tokens=10**6, max_running=1,
)  # fmt: skip
"""Batching off: one request at a time, whose service is its prompt."""


@pytest.fixture(scope="module")
def replayed_trace() -> tuple[Comparison, float]:
    """Round robin on 8 pods of the published fit, at 1x and 4x, and the CPU seconds of each replay."""
    started_s = time.process_time()
    options = Options(
        MOONCAKE, 8, "published-fit", ["round-robin"], [1, 4],
        users="", seed=0, slo=Slo(), assignments=None, report=None,
    )  # fmt: skip
    comparison = Comparer(options).compare()
    return comparison, (time.process_time() - started_s) / 2


def within(percent: float, expected: float) -> object:
    return pytest.approx(expected, rel=percent / 100)


def test_the_published_fit_is_reproduced(replayed_trace: tuple[Comparison, float]):
    real_time, fast = replayed_trace[0].summaries

    assert (within(2, 0.3015), within(2, 1.435), within(2, 0.00672)) == _first_and_next_tokens(real_time)
    assert (within(2, 0.6535), within(2, 4.199)) == _first_and_next_tokens(fast)[:2]


def test_round_robin_reuses_what_theory_says(replayed_trace: tuple[Comparison, float]):
    comparison, _ = replayed_trace

    assert 0.110 == pytest.approx(comparison.summaries[0].reuse, abs=0.005)
    assert (0.541, 0.651) == pytest.approx((comparison.ceilings.pooled, comparison.ceilings.endless), abs=0.005)


def test_the_synthetic_trace_takes_less_than_20_seconds(replayed_trace: tuple[Comparison, float]):
    assert replayed_trace[1] < 20  # it takes 2


def _first_and_next_tokens(run: Summary) -> tuple[float, float, float]:
    assert run.ttft
    assert run.itl
    return run.ttft.mean, run.ttft.p99, run.itl.mean


@pytest.mark.parametrize("service", ["exponential", "two-point"])
def test_waiting_is_that_of_an_m_g_1_queue(service: str):
    rng, load, count = random.Random(1), 0.7, 40_000
    draw = {
        "exponential": lambda: 1 + int(rng.expovariate(1 / 500)),
        "two-point": lambda: rng.choice((100, 100, 100, 1700)),
    }[service]
    prompts = [draw() for _ in range(count)]
    mean_s = sum(prompts) / count / TOKENS_PER_S
    second_moment = sum(prompt**2 for prompt in prompts) / count / TOKENS_PER_S**2
    arrivals = accumulate(rng.expovariate(load / mean_s) for _ in range(count))
    trace = [TraceRequest(at_s * 1000, prompt, 1) for at_s, prompt in zip(arrivals, prompts, strict=True)]
    calls = a_replay(trace, {"pod-0": Engine(SERIAL)}).run()
    waited_s = sum(call.answer.started_s - call.arrived_s for call in calls) / count

    # Pollaczek-Khinchine: arrival rate x second moment of service / 2 (1 - load)
    assert within(5, load / mean_s * second_moment / (2 * (1 - load))) == waited_s


def test_the_queue_tail_of_power_of_two_is_doubly_exponential():
    rng, load, pods, count = random.Random(2), 0.8, 100, 40_000
    arrivals = accumulate(rng.expovariate(load * pods) for _ in range(count))  # a service takes a second on average
    trace = [TraceRequest(at_s * 1000, 1 + int(rng.expovariate(1 / TOKENS_PER_S)), 1) for at_s in arrivals]
    fleet = sim_fleet(pods, "power-of-two")
    arrived, lengths = 0, Counter()

    def sample(_: int) -> None:
        nonlocal arrived
        arrived += 1
        if arrived > count // 5 and not arrived % 20:  # once the start is forgotten
            lengths.update(pod.in_flight for pod in fleet.pods())

    a_replay(
        trace, {f"pod-{index}": Engine(SERIAL) for index in range(pods)}, strategy="power-of-two", router=fleet
    ).run(sample)
    tail = [sum(n for length, n in lengths.items() if length >= k) / lengths.total() for k in range(1, 6)]

    # Mitzenmacher 1996: of many pods, the share with at least k requests is load^(2^k - 1)
    assert [load ** (2**k - 1) for k in range(1, 6)] == pytest.approx(tail, abs=0.015)
