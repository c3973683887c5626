"""Deployments as GPU types: bounds, and what cannot be planned."""

import pytest

from optimizer.planning.cases import grid_of
from optimizer.planning.demand import Demand
from optimizer.planning.deployments import Deployment
from optimizer.planning.fleet import Fleet, fleet_of
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from optimizer.solver.case import GpuType

GRID = grid_of(Demand(1.0, {(70, 60): 1.0}))
PROFILE = Profile("a", 2.0, (64,), (128,), ((10.0,),), Slo(e2e_s=2.0))


def a_fleet(overrides: dict[str, int] | None = None, slo: Slo | None = None, name: str = "a", **fields) -> Fleet:
    fields = {"replicas": 3, "ready": 2, **fields}
    return fleet_of([Deployment("ns", name, "m", **fields)], {"a": PROFILE}, overrides or {}, slo)


def the_type(fleet: Fleet, *, is_idle: bool = False) -> GpuType:
    (gpu,), _ = fleet.types(GRID, None, 1.0, is_idle=is_idle)
    return gpu


def test_the_minimum_holds_without_load_only_unless_it_is_for_always():
    assert (0, None) == (the_type(a_fleet(min_replicas=2)).lowest, the_type(a_fleet(min_replicas=2)).highest)
    assert 2 == the_type(a_fleet(min_replicas=2, is_min_always=True)).lowest
    resting = the_type(a_fleet(min_replicas=2), is_idle=True)
    assert (2, 2) == (resting.lowest, resting.highest)


def test_the_maximum_always_holds_and_wins():
    fleet = a_fleet(min_replicas=5, is_min_always=True, max_replicas=4)

    assert (4, 4) == (the_type(fleet).lowest, the_type(fleet).highest)
    assert [{"ns/a": 4}] * 2 == [fleet.at_rest(), fleet.in_force({"ns/a": 9})]
    assert ["ns/a: min_replicas = 5, above max_replicas = 4, which wins"] == fleet.notes()


def test_an_override_fixes_the_replicas_and_is_told():
    fleet = a_fleet({"ns/a": 7, "ns/unknown": 1}, max_replicas=4)

    assert (7, 7) == (the_type(fleet).lowest, the_type(fleet).highest)
    assert [{"ns/a": 7}] * 2 == [fleet.at_rest(), fleet.in_force({})]
    assert ["ns/a: kept at 7, as /scale asked"] == fleet.notes()


@pytest.mark.parametrize(("minimum", "kept"), [(0, 3), (5, 5)])
def test_without_a_profile_a_deployment_is_kept_and_named(minimum: int, kept: int):
    fleet = a_fleet(name="b", min_replicas=minimum)

    assert ([], {"ns/b": kept}, {"ns/b": kept}) == (
        fleet.types(GRID, None, 1.0, is_idle=False)[0],
        fleet.at_rest(),
        fleet.in_force({}),
    )
    assert ["ns/b: kept as it is, has no profile (aibrix:profile_m_b)"] == fleet.notes()


def test_a_profile_for_other_targets_is_as_none():
    assert ["ns/a: kept as it is, a: measured for e2e <= 2 s, has no fit to plan for others"] == [
        *a_fleet(slo=Slo(ttft_s=1.0)).unplanned
    ]


def test_a_deployment_goes_on_from_what_was_published_or_else_from_what_runs():
    fleet = a_fleet(min_replicas=4)

    assert [{"ns/a": 1}, {"ns/a": 4}] == [fleet.in_force({"ns/a": 1}), fleet.in_force({})]
    assert {"ns/a": 2} == fleet.ready()


def test_the_cost_is_the_deployments_or_else_the_profiles():
    assert [2.0, 0.5] == [the_type(a_fleet()).cost, the_type(a_fleet(cost=0.5)).cost]
