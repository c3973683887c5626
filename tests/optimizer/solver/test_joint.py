"""Several models on one supply: each alone where nothing binds, optima by enumeration where something does."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from bench.planning import a_joint_case
from optimizer.solver.case import Limit
from optimizer.solver.joint import JointCase, make_joint_plan
from optimizer.solver.plan import make_plan
from tests.support.cases import a_case, a_type, joint_cases
from tests.support.exact_mix import exact, optimum_within_limits

many = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

CHAT = a_case([6.0], a_type("small", 1.0, [1.0]), a_type("large", 2.5, [2.0]))
CODE = a_case([4.0, 0.0], a_type("small", 1.0, [0.5, 1.0]), a_type("large", 2.5, [2.0, 1.0]), headroom=1.5)


def a_joint(small: float, **changed: object) -> JointCase:
    """Chat and code on so many small GPUs."""
    return JointCase({"chat": CHAT, "code": CODE}, (Limit("small", (1.0, 0.0, 1.0, 0.0), small),), **changed)


@many
@given(joint_cases())
def test_every_small_joint_case_reaches_its_optimum_or_names_a_limit(joint: JointCase):
    joint = replace(joint, time_limit_s=60.0)
    together = joint.together()
    best = optimum_within_limits(together)

    made = make_joint_plan(joint)

    if best is None:
        assert any(limit.name in problem for limit in together.limits for problem in made.problems)
        return
    lost = sum(joint.cases[name].lost(plan.unserved) for name, plan in made.plans.items())
    assert ((), 0.0) == (made.problems, made.gap)
    assert pytest.approx(float(sum(map(exact, together.rates)) - best[0]), rel=1e-8, abs=1e-9) == lost
    assert pytest.approx([float(value) for value in best[1:]], abs=1e-9) == list(together.values(made.replicas))


def test_models_are_planned_alone_while_nothing_binds():
    made = make_joint_plan(a_joint(6.0))

    assert ((6, 0, 0, 3), False, (), 0.0) == (made.replicas, made.is_joint, made.problems, made.gap)
    assert {"chat": make_plan(CHAT), "code": make_plan(CODE)} == made.plans


def test_a_limit_that_binds_takes_from_who_loses_least_by_it():
    made = make_joint_plan(a_joint(4.0))

    assert ((4, 1, 0, 3), True, ()) == (made.replicas, made.is_joint, made.problems)
    assert ((4, 1), 6.5, ((0.0, 0.0), (1.0, 1.0))) == (
        made.plans["chat"].replicas,
        made.plans["chat"].cost,
        made.plans["code"].shares,
    )


def test_pools_come_in_their_order_for_all_models_together():
    own, cloud = a_type("own", 5.0, [1.0]), a_type("cloud", 1.0, [1.0], priority=1)
    cases = {name: a_case([2.0], own, cloud) for name in ("m", "n")}

    made = make_joint_plan(JointCase(cases, (Limit("own", (1.0, 0.0, 1.0, 0.0), 3.0),)))

    assert (3, 1, True) == (made.replicas[0] + made.replicas[2], made.replicas[1] + made.replicas[3], made.is_joint)


def test_what_runs_counts_where_it_is_known_of_all():
    known = replace(a_joint(4.0), cases={"chat": replace(CHAT, current=(2, 2)), "code": replace(CODE, current=(0, 3))})

    made = make_joint_plan(known)

    assert ((2, 2, 0, 3), 0.0) == (made.replicas, made.plans["chat"].migration)
    assert None is replace(known, cases={**known.cases, "code": CODE}).together().current


def test_of_no_models_nothing_is_planned():
    made = make_joint_plan(JointCase({}, (Limit("budget", (), 3.0),)))

    assert ((), {}, ()) == (made.replicas, made.plans, made.problems)


@pytest.mark.parametrize("part", [0.5, 0.15])
def test_at_the_time_limit_limits_hold_and_the_gap_is_honest(part: float):
    joint = replace(a_joint_case(3, 4, 25, rate=64.0, part=part), time_limit_s=1.0)
    hurried, patient = (make_joint_plan(replace(joint, time_limit_s=limit_s)) for limit_s in (0.2, 20.0))

    assert ((), ()) == (hurried.problems, patient.problems)
    assert sum_of(joint, hurried.plans) >= sum_of(joint, patient.plans) - 1e-9 or hurried.gap > 0


def sum_of(joint: JointCase, plans) -> float:
    return sum(plan.cost for plan in plans.values())
