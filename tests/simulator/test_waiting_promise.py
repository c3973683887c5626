"""A lasting flood of prompts: what the gateway accepts has its first token in time, however long it waited before."""

import random

import pytest

from gateway.fleet import Fleet
from gateway.settings import RoutingSettings
from gateway.simulate import Gateway
from simulator.admission import Admission
from simulator.core.engine import Engine
from simulator.core.gpus import GpuProfile
from simulator.core.speed import LinearSpeed
from simulator.replay import MODEL, Replay
from simulator.traces import TraceRequest
from tests.support.pods import a_description, an_endpoint

PROFILE = GpuProfile(LinearSpeed(a=0.002, b=1e-4, c=0, d=0, e=0), kv_blocks=20_000, block_tokens=16, pass_tokens=2048)
"""10,000 prompt tokens a second: two of the prompts below."""


@pytest.mark.parametrize("ttft_s", [2.0, 6.0])
def test_what_is_served_in_a_flood_is_served_in_time(ttft_s: float) -> None:
    rng = random.Random(1)
    arrivals = sorted(rng.uniform(0, 60) for _ in range(6 * 60))
    trace = [TraceRequest(1000 * at_s, rng.randint(3000, 7000), rng.randint(1, 3), (), "") for at_s in arrivals]
    settings = RoutingSettings(slo_ttft_s=ttft_s, slo_itl_s=1.0)
    fleet = Fleet(settings, random.Random(1))
    fleet.replace(a_description(an_endpoint("pod-0", models=(MODEL,))))
    gateway = Gateway(fleet, settings)
    replay = Replay(
        trace=trace, engines={"pod-0": Engine(PROFILE)}, router=gateway, strategy="forebay",
        admission=Admission({}, output_tokens=2), slo=fleet.slo(MODEL),
    )  # fmt: skip
    gateway.late.alarm = replay.alarm

    calls = replay.run()

    served = [call for call in calls if call.served]
    late = [call for call in served if call.arrived_s > 10.0 and call.ttft_s > ttft_s]  # speeds are known by then
    assert len(served) > 90  # 120 could be
    assert len(late) < 0.1 * len(served)
