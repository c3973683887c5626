"""Decisions within what there is for all models: GPUs by type, pools, spot instances."""

from dataclasses import replace

import pytest

from optimizer.planning.deployments import Deployment
from optimizer.solver.supply import Supply
from tests.support.deciding import EXACT, Loop, a_deployment, a_profile, one


def test_deployments_share_the_gpus_that_there_are():
    supply = Supply({"L4": 4})
    loop = Loop(
        a_deployment("small", gpu="L4"), a_deployment("large", gpu="L4", gpus_per_replica=4), a_deployment("cloud"),
        profiles=(a_profile("small"), a_profile("large", cost=3.5, short=60.0), a_profile("cloud", cost=9.0)),
        policy=replace(EXACT, supply=supply),
    )  # fmt: skip

    assert [(0, 0, 3), (0, 1, 0), (1, 1, 0)] == [loop.step(rate) for rate in (30.0, 50.0, 65.0)]


def test_what_has_no_profile_and_other_models_are_taken_off_the_supply():
    loop = Loop(
        a_deployment("small", gpu="L4"), a_deployment("by-hand", 1, gpu="L4"),
        profiles=(a_profile("small"),), policy=replace(EXACT, supply=Supply({"L4": 5})),
    )  # fmt: skip
    for _ in range(3):
        loop.hear(90.0)
    others = [Deployment("default", "other", "n", 2, 2, gpu="L4", gpus_per_replica=1)]

    decision = loop.decider.decide(loop.now_s, list(loop.deployments.values()), loop.profiles, others=others)

    assert {"default/by-hand": 1, "default/small": 2} == decision.replicas
    assert 70.0 == pytest.approx(decision.unserved_rate)


def test_the_cloud_is_for_what_does_not_fit_and_spot_carries_less():
    own = a_deployment("small", gpu="L4", pool="idc", max_replicas=2)
    cloud = a_deployment("cloud", pool="cloud", pool_priority=1, is_spot=True, preemption=0.5)
    loop = Loop(own, cloud, profiles=(a_profile("small", cost=5.0), a_profile("cloud")), policy=EXACT)

    assert [(0, 2), (2, 2)] == [loop.step(rate) for rate in (20.0, 30.0)]


def test_idle_models_rest_whatever_the_supply():
    loop = one(policy=replace(EXACT, supply=Supply(on_demand_min=3)), min_replicas=1)

    assert ((3,), (1,)) == (loop.step(10.0), loop.rest())
