"""From what there is to limits: GPUs by type and pool, money, spot instances."""

import random
from dataclasses import replace
from itertools import product

import pytest

from optimizer.solver.case import Case, GpuType, Limit
from optimizer.solver.plan import make_plan
from optimizer.solver.supply import Place, Supply
from tests.support.cases import a_case, a_type

SPOT = Place("T4", is_spot=True, domain="a")
CASE = a_case([3.0, 1.0, 0.0], a_type("own", 2.0, [2.0, 1.0, 1.0]), a_type("spot", 0.5, [1.0, 0.0, 1.0]))


def limits(supply: Supply, *places: Place, case: Case = CASE) -> list[Limit]:
    return list(supply.limits([(case, places)]))


def test_a_supply_of_nothing_in_particular_limits_nothing():
    assert [] == limits(Supply(), Place("L4"), SPOT)


def test_gpus_count_by_type_in_all_pools_and_by_pool():
    supply = Supply({"L4": 8, "none": 1}, {"own": {"L4": 4}, "cloud": {"T4": 2}})

    found = limits(supply, Place("L4", 2, pool="own"), Place("L4", 4, pool="cloud"), case=CASE)

    assert [
        Limit("inventory.L4", (2.0, 4.0), 8.0),
        Limit("inventory.none", (0.0, 0.0), 1.0),
        Limit("pools.own.inventory.L4", (2.0, 0.0), 4.0),
        Limit("pools.cloud.inventory.T4", (0.0, 0.0), 2.0),
    ] == found


def test_a_budget_is_what_replicas_cost_and_the_floor_counts_what_is_no_spot():
    assert [Limit("budget", (2.0, 0.5), 7.0), Limit("on_demand_min", (-1.0, 0.0), -2.0)] == limits(
        Supply(budget=7.0, on_demand_min=2), Place("L4"), SPOT
    )


def test_spot_is_a_share_of_the_requests_that_replicas_carry_of_the_mix():
    own, spot = 4.0 / (3.0 / 2.0 + 1.0), 1.0

    [share, domain] = limits(Supply(spot_share=0.4, domain_share=0.25), Place("L4"), SPOT)

    assert pytest.approx((-0.4 * own, 0.6 * spot)) == share.weights
    assert ("spot_share_per_domain 'a'", pytest.approx((-0.25 * own, 0.75 * spot))) == (domain.name, domain.weights)


def test_each_failure_domain_has_its_own_share():
    case = a_case([10.0], a_type("own", 1.0, [1.0]), *(a_type(name, 0.1, [1.0]) for name in "ab"))
    places = Place(), SPOT, replace(SPOT, domain="b")

    half, quarter = (make_plan(replace(case, limits=tuple(limits(supply, *places, case=case)))) for supply in (
        Supply(spot_share=0.5), Supply(domain_share=0.2),
    ))  # fmt: skip

    assert (5, 5) == (half.replicas[0], sum(half.replicas[1:]))
    assert (6, 2, 2) == quarter.replicas


def test_a_spot_replica_carries_less_by_the_time_that_it_is_away():
    assert (pytest.approx((9.0, 0.0))) == replace(SPOT, preemption=0.1).lasting([10.0, 0.0])


def test_replicas_of_others_are_taken_off():
    supply = Supply({"L4": 8, "T4": 1}, {"own": {"L4": 4}}, budget=5.0, spot_share=0.5, on_demand_min=3)

    left = supply.less([(Place("L4", 2, pool="own"), 1), (Place("L4", pool="cloud"), 3), (SPOT, 2)], cost=1.5)

    assert Supply({"L4": 3, "T4": 0}, {"own": {"L4": 2}}, 3.5, 0.5, None, 0) == left
    assert (0.0, 8) == (supply.less([], cost=9.0).budget, supply.less([]).gpus["L4"])


def test_types_of_several_loads_follow_each_other():
    found = Supply({"L4": 3}, budget=1.0).limits([(CASE, [Place("L4"), SPOT]), (CASE, [Place("T4"), Place("L4")])])

    assert [(1.0, 0.0, 0.0, 1.0), (2.0, 0.5, 2.0, 0.5)] == [limit.weights for limit in found]


@pytest.mark.parametrize("seed", range(40))
def test_plans_of_one_bucket_are_the_best_that_a_supply_allows(seed: int):
    rng = random.Random(seed)
    places = [
        Place(rng.choice("AB"), rng.choice([1, 2]), rng.choice(["own", "cloud"]), spot, spot * 0.25, rng.choice("xy"))
        for spot in (False, rng.random() < 0.5, True)
    ]
    types = [
        GpuType(
            name, rng.choice([0.5, 1.0, 2.5]), place.lasting([rng.choice([1.0, 2.0])]), priority=place.pool == "cloud"
        )
        for name, place in zip("abc", places, strict=True)
    ]
    supply = Supply(
        {"A": rng.choice([2, 4, 9]), "B": 9}, {"own": {"B": rng.choice([2, 3, 9])}}, rng.choice([None, 4.0, 7.0]),
        rng.choice([None, 0.5, 0.25]), rng.choice([None, 0.25]), rng.choice([0, 0, 1]),
    )  # fmt: skip
    rate = rng.choice([1.0, 3.0, 5.5])
    case = a_case([rate], *types)
    case = replace(case, limits=supply.limits([(case, places)]), time_limit_s=60.0)

    allowed = [counts for counts in product(range(10), repeat=3) if is_within(supply, types, places, counts)]
    best = min(goals(types, counts, rate) for counts in allowed)
    plan = make_plan(case)

    assert ((), 0.0) == (plan.problems, plan.gap)
    assert pytest.approx(best) == goals(types, plan.replicas, rate)


def is_within(supply: Supply, types: list[GpuType], places: list[Place], counts: tuple[int, ...]) -> bool:
    """Whether replicas keep a supply, in its own words."""
    running = list(zip(types, places, counts, strict=True))
    capacity = sum(n * gpu.throughput[0] for gpu, _, n in running)
    spot = {
        zone: sum(n * gpu.throughput[0] for gpu, p, n in running if p.is_spot and p.domain == zone) for zone in "xy"
    }
    return (
        all(sum(n * p.gpus for _, p, n in running if p.gpu == gpu) <= most for gpu, most in supply.gpus.items())
        and sum(n * p.gpus for _, p, n in running if (p.pool, p.gpu) == ("own", "B")) <= supply.pool_gpus["own"]["B"]
        and (supply.budget is None or sum(n * gpu.cost for gpu, _, n in running) <= supply.budget)
        and (supply.spot_share is None or sum(spot.values()) <= supply.spot_share * capacity + 1e-9)
        and (supply.domain_share is None or max(spot.values()) <= supply.domain_share * capacity + 1e-9)
        and sum(n for _, p, n in running if not p.is_spot) >= supply.on_demand_min
    )


def goals(types: list[GpuType], counts: tuple[int, ...], rate: float) -> tuple[float, float, float]:
    """Requests that nobody serves, the cost in the cloud, and the whole cost."""
    lost = max(0.0, rate - sum(n * gpu.throughput[0] for gpu, n in zip(types, counts, strict=True)))
    cloud, cost = (
        sum(n * gpu.cost for gpu, n in zip(types, counts, strict=True) if gpu.priority >= priority)
        for priority in (1, 0)
    )
    return round(lost, 9), round(cloud, 9) if len({gpu.priority for gpu in types}) > 1 else 0.0, round(cost, 9)
