"""Observations of a fleet in virtual time."""

import pytest

from autoscaling.observation import Arrivals, Latency
from forebay.local.mix.gpu_types import GpuType
from forebay.simulation.autoscale_readings import ArrivalCounts, LatencyCounts, observation
from forebay.simulation.elastic_fleet import ElasticFleet
from routing.strategy import Finished
from routing.types import RouteRequest
from simulator.core.gpus import GpuProfile
from simulator.replay.replay import MODEL, VirtualTime
from tests.support.model_engine import FIELDS, a_sequence, an_engine, run_out, steps

TYPE = GpuType("engine")
NOTHING = Arrivals(0, 5.0), Latency()


def a_fleet() -> ElasticFleet:
    return ElasticFleet((TYPE,), 30.0, VirtualTime(), {TYPE: GpuProfile(**FIELDS)})


def test_pods_are_ready_starting_or_draining():
    fleet = a_fleet()
    fleet.adjust(TYPE, 3, 0.0, startup_s=0.0)
    fleet.take("engine-3")
    fleet.adjust(TYPE, 2, 1.0)
    fleet.adjust(TYPE, 4, 2.0)
    seen = observation(5.0, fleet, *NOTHING)

    assert (5.0, 2, 2, 1) == (seen.now_s, seen.ready, seen.starting, seen.draining)
    assert ["engine-1", "engine-2"] == [pod.name for pod in seen.pods]
    fleet.give_back("engine-3", 6.0)
    assert 0 == observation(7.0, fleet, *NOTHING).draining


def test_a_pod_says_what_its_engine_does():
    fleet = a_fleet()
    fleet.adjust(TYPE, 1, 0.0, startup_s=0.0)
    engine = fleet.engines["engine-1"]
    for _ in range(5):
        engine.add(a_sequence(prompt=10, output=5), 0.0)
    engine.add(a_sequence(prompt=7, output=5), 0.0)
    steps(engine, 1)  # 32 tokens: three whole prompts, 2 tokens of the fourth
    (pod,) = observation(1.0, fleet, *NOTHING).pods

    assert (4, 2, 17, 8) == (pod.running, pod.waiting, pod.waiting_tokens, pod.prefill_tokens)
    assert pytest.approx(10 / 100) == pod.kv_usage


def test_arrivals_are_counted_since_the_observation_before():
    counts, request = ArrivalCounts(), RouteRequest(MODEL, "", prompt_tokens=40)
    counts.arrived(request)
    counts.arrived(request)
    counts.finished(Finished("engine-1", request, 3.0, False, input_tokens=40, output_tokens=7))
    counts.finished(Finished("engine-1", request, 3.0, True))

    assert Arrivals(2, 5.0, 80, 7) == counts.arrivals(5.0)
    assert Arrivals(0, 3.0, 0, 0) == counts.arrivals(8.0)


def test_latencies_are_means_since_the_observation_before():
    counts, engine = LatencyCounts(), an_engine()
    run_out(engine, a_sequence(prompt=8, output=3))

    assert Latency(1.0, 1, 1.0, 2) == counts.latency([engine])
    assert Latency(None, 0, None, 0) == counts.latency([engine])
