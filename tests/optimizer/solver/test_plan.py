"""Plans are optima: compared with enumeration in exact fractions, and with themselves under changes of the case."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.planning import LARGE
from bench.planning import a_case as a_hard_case
from optimizer.solver import linear
from optimizer.solver.case import Case
from optimizer.solver.greedy import first_draft
from optimizer.solver.plan import GREEDY, HIGHS, make_plan
from tests.support.cases import a_case, a_type, small_cases
from tests.support.exact_mix import exact, optimum

many = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
some = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

SPREAD = st.floats(-6, 6).map(lambda power: 10.0**power)


def price(case: Case) -> float:
    """The price of the plan, which must be verified and proven."""
    plan = make_plan(replace(case, time_limit_s=60.0))
    assert ((), 0.0) == (plan.problems, plan.gap)
    return case.price(plan.replicas)


@many
@given(small_cases())
def test_every_small_case_reaches_its_optimum(case: Case):
    most, lowest = optimum(case)

    plan = make_plan(replace(case, time_limit_s=60.0))

    lost = float(sum(map(exact, case.rates)) - most)
    assert ((), 0.0) == (plan.problems, plan.gap)
    assert (pytest.approx(lost, rel=1e-8, abs=1e-12), pytest.approx(float(lowest), abs=1e-9)) == (
        case.lost(plan.unserved),
        case.price(plan.replicas),
    )


@some
@given(small_cases(), SPREAD)
@example(a_case([1.0], a_type(cost=1.0, throughput=[0.3])), 1e-9)
def test_the_currency_does_not_matter(case: Case, factor: float):
    scaled = replace(case, types=tuple(replace(gpu, cost=gpu.cost * factor) for gpu in case.types))

    assert pytest.approx(price(case) * factor, rel=1e-9) == price(scaled)


@some
@given(small_cases(), SPREAD)
def test_the_unit_of_time_does_not_matter(case: Case, factor: float):
    types = tuple(replace(gpu, throughput=tuple(t * factor for t in gpu.throughput)) for gpu in case.types)
    scaled = replace(case, types=types, rates=tuple(rate * factor for rate in case.rates))

    assert pytest.approx(price(case), rel=1e-9) == price(scaled)


@some
@given(small_cases(), st.randoms(use_true_random=False))
def test_the_order_of_types_and_buckets_does_not_matter(case: Case, rng):
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
    )  # fmt: skip

    assert pytest.approx(price(case)) == price(shuffled)


@some
@given(small_cases(capped=False, moving=False))
def test_the_same_type_twice_changes_nothing(case: Case):
    twin = replace(case.types[0], name="twin")

    assert pytest.approx(price(case)) == price(replace(case, types=(*case.types, twin)))


@some
@given(small_cases(capped=False, moving=False))
def test_more_requests_are_never_cheaper_nor_is_a_mix_dearer_than_the_best_type_alone(case: Case):
    prices = [price(replace(case, rates=tuple(rate * factor for rate in case.rates))) for factor in (1, 1.7, 6)]
    alone = [replace(case, types=(gpu,)) for gpu in case.types if all(gpu.throughput)]

    assert all(less <= more + 1e-9 for less, more in pairwise(prices))
    assert all(prices[0] <= price(single) + 1e-9 for single in alone)


@some
@given(small_cases(moving=False), st.integers(0, 3))
def test_what_runs_already_is_left_alone_for_small_gains(case: Case, running: int):
    case = replace(case, current=(running,) * len(case.types))
    moved, free = make_plan(case), make_plan(replace(case, current=None))

    assert case.price(moved.replicas) <= case.price(free.replicas) + 1e-9
    assert moved.cost >= free.cost - 1e-9


@pytest.mark.parametrize("case", [
    a_case([5.0, 1.0]),
    a_case([], a_type(throughput=[])),
    a_case([0.0, 0.0], a_type(throughput=[1.0, 0.0])),
    a_case([3.0], a_type(throughput=[0.0]), a_type("b", throughput=[0.0])),
])  # fmt: skip
def test_what_nobody_can_serve_is_reported_and_costs_nothing(case: Case):
    plan = make_plan(case)

    assert ((), 0.0, 0) == (plan.problems, plan.cost, sum(plan.replicas))
    assert tuple(float(rate > 0) for rate in case.rates) == plan.unserved


def test_a_bucket_that_nobody_can_serve_does_not_buy_thousands_of_replicas():
    plan = make_plan(a_case([3.96, 0.04], a_type("a", throughput=[4.0, 0.0]), a_type("b", 2.0, [4.0, 0.0])))

    assert ((1, 0), (0.0, 1.0), ()) == (plan.replicas, plan.unserved, plan.problems)


def test_a_tiny_bucket_that_only_a_dear_type_can_serve_is_served():
    plan = make_plan(a_case([10.0, 1e-9], a_type("a", 1.0, [5.0, 0.0]), a_type("b", 100.0, [1.0, 1e6])))

    assert ((2, 1), 102.0, ()) == (plan.replicas, plan.cost, plan.problems)


@pytest.mark.parametrize("rate", [1e-9, 1.0, 1e6, 1e9])
def test_fleets_of_any_size_are_counted_exactly(rate: float):
    plan = make_plan(a_case([rate, 1e-9], a_type("a", 1.0, [3.0, 3.0]), a_type("b", 2.1, [6.0, 6.0])))

    assert ((), 0.0) == (plan.problems, plan.gap)
    assert plan.cost == pytest.approx(max(1, -(-rate // 3)), rel=1e-12)


def test_free_types_are_used_and_not_wasted():
    plan = make_plan(a_case([10.0, 1.0], a_type("own", 0.0, [2.0, 0.0]), a_type("cloud", 5.0, [9.0, 1.0])))

    assert ((5, 1), 5.0, ()) == (plan.replicas, plan.cost, plan.problems)


def test_a_type_that_costs_next_to_nothing_is_not_wasted_either():
    plan = make_plan(a_case([10.0, 1.0], a_type("own", 1e-12, [2.0, 0.0]), a_type("cloud", 5.0, [0.0, 1.0])))

    assert (5, 1) == plan.replicas


def test_replicas_share_the_load_evenly():
    plan = make_plan(a_case([6.0], a_type("a", 1.0, [4.0], lowest=1), a_type("b", 1.0, [4.0], lowest=1)))

    assert ((1, 1), (pytest.approx(0.5),)) == (plan.replicas, plan.shares[0])


def a_large_case(seed: int, limit_s: float) -> Case:
    """10 types, 144 buckets."""
    return replace(a_hard_case(*LARGE, rate=144.0, seed=seed), time_limit_s=limit_s)


def test_an_optimum_for_which_highs_leaves_the_bound_open_is_proven():
    tight = a_case(
        [3.1140211762227947, 1.0, 3.0],
        a_type("a", 1.0, [3.114021082802162, 0.5000000150000005, 1.5000015000015001], lowest=2),
        a_type("b", 2.0, [6.227980072644862, 1.9999980000020001, 1.4999985000015001], highest=3),
    )

    assert 5.0 == pytest.approx(price(tight))


def test_prices_may_be_any_number_of_orders_apart():
    apart = a_case([3.0, 5.0], a_type("a", 1e-320, [1.0, 0.0]), a_type("b", 1e100, [0.0, 2.0]))

    assert 3e100 == pytest.approx(price(apart))


@pytest.mark.parametrize("limit_s", [1e-6, 0.02, 0.1])
def test_at_the_time_limit_the_best_so_far_is_kept_and_the_gap_says_so(limit_s: float):
    case = a_large_case(1, limit_s)
    hurried, patient = make_plan(case), make_plan(replace(case, time_limit_s=60.0))

    assert ((), (), 0.0) == (hurried.problems, patient.problems, patient.gap)
    assert hurried.cost <= case.price(first_draft(case).replicas)
    assert 0.0 <= hurried.gap < 1.0
    assert patient.cost <= hurried.cost + 1e-9
    assert hurried.cost * (1 - hurried.gap) <= patient.cost + 1e-9


def test_without_highs_the_plan_is_greedy_verified_and_honest(monkeypatch: pytest.MonkeyPatch):
    case = a_large_case(2, 60.0)
    best = make_plan(case)
    monkeypatch.setattr(linear, "is_installed", lambda: False)

    plan = make_plan(case)

    assert (HIGHS, GREEDY, ()) == (best.solver, plan.solver, plan.problems)
    assert best.cost <= plan.cost <= 1.3 * best.cost
    assert plan.cost * (1 - plan.gap) <= best.cost


@some
@given(case=small_cases())
def test_greedy_plans_of_small_cases_are_verified_and_their_gap_is_honest(case: Case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "is_installed", lambda: False)
        plan = make_plan(case)
    best = make_plan(case)

    assert () == plan.problems
    if case.lost(plan.unserved) == pytest.approx(case.lost(best.unserved), abs=1e-12):
        assert case.price(best.replicas) <= case.price(plan.replicas) + 1e-9
        assert case.price(plan.replicas) * (1 - plan.gap) <= case.price(best.replicas) + 1e-9
