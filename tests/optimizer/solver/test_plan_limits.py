"""Plans within limits that types share, and with pools: optima by enumeration, and kept without HiGHS too."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.planning import a_case as a_hard_case
from optimizer.solver import linear
from optimizer.solver.case import Case, Limit
from optimizer.solver.plan import GREEDY, HIGHS, Plan, make_plan
from tests.support.cases import a_case, a_type, limited_cases
from tests.support.exact_mix import exact, optimum_within_limits

many = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
some = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def a_plan(case: Case) -> Plan:
    """A plan with time enough; where any plan keeps all limits it is verified and proven."""
    plan = make_plan(replace(case, time_limit_s=60.0))
    assert plan.problems or (plan.gap, plan.solver) == (0.0, HIGHS)
    return plan


def a_greedy_plan(case: Case) -> Plan:
    """The plan without HiGHS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "is_installed", lambda: False)
        return make_plan(case)


def results(case: Case, plan: Plan) -> list[object]:
    """Values that are minimised, in their order."""
    return [
        pytest.approx(value, rel=1e-7, abs=1e-9) for value in (case.lost(plan.unserved), *case.values(plan.replicas))
    ]


@many
@given(limited_cases())
@example(a_case([1.0], a_type("a", 1.0, [3.0]), limits=(Limit("cap", (1.0,), 0.5),)))
def test_every_small_case_with_limits_and_pools_reaches_its_optimum_or_breaks_a_limit_that_it_names(case: Case):
    best = optimum_within_limits(case)

    plan = a_plan(case)

    if best is None:
        assert any(problem.startswith(limit.name) for limit in case.limits for problem in plan.problems)
        return
    lost = float(sum(map(exact, case.rates)) - best[0])
    assert () == plan.problems
    assert pytest.approx(lost, rel=1e-8, abs=1e-12) == case.lost(plan.unserved)
    assert pytest.approx([float(value) for value in best[1:]], abs=1e-9) == list(case.values(plan.replicas))


@many
@given(limited_cases())
def test_without_highs_all_limits_are_kept_too_and_no_less_is_lost(case: Case):
    plan, greedy = a_plan(case), a_greedy_plan(case)

    assert bool(plan.problems) == bool(greedy.problems)
    if not plan.problems:
        assert case.lost(plan.unserved) <= case.lost(greedy.unserved) + 1e-9
        assert GREEDY == greedy.solver
        same = case.lost(plan.unserved) == pytest.approx(case.lost(greedy.unserved), abs=1e-12)
        assert not same or case.values(plan.replicas) <= tuple(v + 1e-9 for v in case.values(greedy.replicas))


@some
@given(limited_cases(), st.sampled_from([1e-5, 0.01, 30.0, 1e5]))
def test_neither_the_currency_nor_the_unit_of_time_matters(case: Case, factor: float):
    dearer = replace(
        case,
        types=tuple(replace(gpu, cost=gpu.cost * factor) for gpu in case.types),
        limits=tuple(
            Limit("budget", tuple(w * factor for w in each.weights), each.most * factor)
            if each.name == "budget"
            else each
            for each in case.limits
        ),
    )
    faster = replace(
        case,
        types=tuple(replace(gpu, throughput=tuple(t * factor for t in gpu.throughput)) for gpu in case.types),
        rates=tuple(rate * factor for rate in case.rates),
    )
    plan = a_plan(case)
    if not plan.problems:
        prices = [pytest.approx(factor * value, rel=1e-9) for value in case.values(plan.replicas)]
        assert prices == list(dearer.values(a_plan(dearer).replicas))
        quick = a_plan(faster)
        assert [pytest.approx(v, rel=1e-9) for v in case.values(plan.replicas)] == list(case.values(quick.replicas))
        assert pytest.approx(factor * case.lost(plan.unserved), rel=1e-7) == faster.lost(quick.unserved)


@some
@given(limited_cases(), st.randoms(use_true_random=False))
def test_the_order_of_types_buckets_and_limits_does_not_matter(case: Case, rng: random.Random):
    types, buckets = list(range(len(case.types))), list(range(len(case.rates)))
    rng.shuffle(types)
    rng.shuffle(buckets)
    shuffled = Case(
        tuple(
            replace(case.types[g], throughput=tuple(case.types[g].throughput[b] for b in buckets)) for g in types
        ),
        tuple(case.rates[b] for b in buckets),
        case.headroom,
        case.current and tuple(case.current[g] for g in types),
        limits=tuple(
            Limit(each.name, tuple(each.weights[g] for g in types), each.most) for each in reversed(case.limits)
        ),
    )  # fmt: skip
    plan, other = a_plan(case), a_plan(shuffled)

    assert bool(plan.problems) == bool(other.problems)
    assert plan.problems or results(case, plan) == [shuffled.lost(other.unserved), *shuffled.values(other.replicas)]


@some
@given(limited_cases())
def test_more_requests_lose_no_fewer_and_cost_no_less_of_what_comes_first(case: Case):
    plans = [
        (each, a_plan(each)) for each in (replace(case, rates=tuple(r * f for r in case.rates)) for f in (1, 1.7, 4))
    ]

    for (case_of_few, few), (case_of_many, many) in pairwise(plans):
        if not few.problems and not many.problems:
            lost, more_lost = case_of_few.lost(few.unserved), case_of_many.lost(many.unserved)
            assert lost <= more_lost + 1e-9
            if more_lost < 1e-9:
                assert case.values(few.replicas) <= tuple(v + 1e-9 for v in case.values(many.replicas))


@some
@given(limited_cases())
def test_a_limit_that_takes_something_away_never_makes_a_plan_better(case: Case):
    free = replace(case, limits=())
    plan, best = a_plan(case), a_plan(free)

    assert () == best.problems
    if not plan.problems:
        assert free.lost(best.unserved) <= case.lost(plan.unserved) + 1e-9
        if case.lost(plan.unserved) <= free.lost(best.unserved) + 1e-12:
            assert free.values(best.replicas) <= tuple(value + 1e-9 for value in case.values(plan.replicas))


def test_an_optimum_that_presolve_loses_within_limits_is_found():
    own, cloud = a_type("own", 7.5, [1.0, 0.5, 1.5], highest=3), a_type("cloud", 7.5, [1.5, 0.5, 3.0], priority=1)
    limits = Limit("cap", (2.0, 1.0), 5.0), Limit("floor", (-1.0, 0.0), -1.0)

    plan = a_plan(a_case([1e-7, 0.5, 0.5], own, cloud, headroom=1.5, current=(3, 2), limits=limits))

    assert ((), (1, 1)) == (plan.problems, plan.replicas)


def test_a_solution_of_highs_that_is_no_number_is_solved_again():
    throughput = [1.0, 0.0, 1.0]
    types = (a_type(name, 0.3, throughput, highest=2) for name in "ab")

    plan = a_plan(a_case([1e-7, 0.0, 1.0], *types, limits=(Limit("share", (-1.0, 1.0), 0.0),)))

    assert ((), 2) == (plan.problems, sum(plan.replicas))


@pytest.mark.parametrize("seed", [17, 121, 196])
def test_a_greedy_plan_uses_the_room_that_a_change_made(seed: int):
    case = a_hard_case(3, 9, rate=64.0, seed=seed)
    limits = Limit("share", (-1.0, 2.0, -1.0), 0.0), Limit("budget", tuple(gpu.cost for gpu in case.types), 60.0)

    assert () == a_greedy_plan(replace(case, limits=limits)).problems


def test_types_on_the_same_gpus_share_them():
    small, large = a_type("small", 1.0, [1.0, 0.0]), a_type("large", 5.0, [5.0, 5.0])
    elsewhere = a_type("elsewhere", 9.0, [2.0, 2.0])
    case = a_case([3.0, 4.0], small, large, elsewhere, limits=(Limit("V100", (1.0, 4.0, 0.0), 6.0),))

    plan = a_plan(case)

    assert ((2, 1, 0), ()) == (plan.replicas, plan.problems)
    fewer = a_plan(replace(case, limits=(Limit("V100", (1.0, 4.0, 0.0), 5.0),)))
    assert ((0, 1, 1), 14.0) == (fewer.replicas, fewer.cost)


def test_within_a_budget_as_much_as_possible_is_served_and_then_for_the_least():
    types = a_type("a", 1.0, [2.0, 0.0]), a_type("b", 3.0, [2.0, 4.0])
    budgets = [
        replace(a_case([4.0, 4.0], *types), limits=(Limit("budget", (1.0, 3.0), most),)) for most in (1, 3, 4.9, 9)
    ]

    plans = [a_plan(case) for case in budgets]

    assert [(1, 0), (2, 0), (1, 1), (2, 1)] == [plan.replicas for plan in plans]
    assert [6.0, 4.0, 2.0, 0.0] == pytest.approx(
        [case.lost(p.unserved) for case, p in zip(budgets, plans, strict=True)]
    )


@pytest.mark.parametrize("short", [1e-6, 1e-7, 1e-8])
def test_a_budget_that_is_just_too_small_for_a_replica_does_not_buy_it(short: float):
    case = a_case(
        [3.0], a_type("a", 1.0, [1.0]), a_type("b", 1.4, [1.2]), limits=(Limit("budget", (1.0, 1.4), 3 - short),)
    )

    plan = a_plan(case)

    assert ((), 2) == (plan.problems, sum(plan.replicas))
    assert 2.4 == pytest.approx(3.0 - case.lost(plan.unserved))


def test_the_cloud_is_used_only_for_what_does_not_fit_though_it_is_cheaper():
    own = a_type("own", 5.0, [1.0, 1.0], highest=3, priority=0)
    cloud, far = a_type("cloud", 1.0, [1.0, 1.0], highest=1, priority=1), a_type("far", 0.1, [4.0, 4.0], priority=2)

    plans = [a_plan(a_case([rate, rate], own, cloud, far)) for rate in (0.5, 1.5, 2.0, 2.5)]

    assert [(1, 0, 0), (3, 0, 0), (3, 1, 0), (1, 0, 1)] == [plan.replicas for plan in plans]


@some
@given(limited_cases())
def test_no_replica_of_the_last_pool_could_be_left_out(case: Case):
    plan = a_plan(case)
    last = max(gpu.priority for gpu in case.types)
    there = [g for g, gpu in enumerate(case.types) if gpu.priority == last and plan.replicas[g] > gpu.lowest]

    for out in there if case.tiers and not plan.problems else []:
        types = tuple(
            replace(gpu, highest=n - (g == out)) if gpu.priority == last else gpu
            for g, (gpu, n) in enumerate(zip(case.types, plan.replicas, strict=True))
        )
        without = a_plan(replace(case, types=types))

        assert without.problems or case.lost(without.unserved) > case.lost(plan.unserved)


@pytest.mark.parametrize("limit_s", [1e-6, 0.05, 0.3])
def test_at_the_time_limit_limits_and_pools_hold_and_the_gap_says_what_is_open(limit_s: float):
    case = a_hard_case(6, 60, rate=64.0, seed=2)
    types = tuple(replace(gpu, priority=g % 2) for g, gpu in enumerate(case.types))
    limits = (
        Limit("cap", tuple(1.0 + g % 3 for g in range(6)), 30.0),
        Limit("budget", tuple(t.cost for t in types), 80.0),
    )
    case = replace(case, types=types, limits=limits)
    hurried, patient = make_plan(replace(case, time_limit_s=limit_s)), a_plan(case)

    assert ((), ()) == (hurried.problems, patient.problems)
    assert case.lost(patient.unserved) <= case.lost(hurried.unserved) + 1e-9
    assert hurried.gap > 0 or results(case, hurried) == [case.lost(patient.unserved), *case.values(patient.replicas)]
