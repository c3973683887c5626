"""The integer program: replicas and their bound, and what must stay unserved."""

import pytest

from optimizer.solver.case import Case
from optimizer.solver.greedy import first_draft
from optimizer.solver.linear import Budget
from optimizer.solver.mix import Mix, best_mix
from optimizer.solver.serving import least_unserved
from tests.support.cases import a_case, a_type


def mix_of(case: Case, box: object = None) -> Mix | None:
    unserved = least_unserved(case, Budget(5.0))
    return best_mix(case, box or case.bounds, unserved, first_draft(case), Budget(5.0))


def test_the_cheapest_mix_and_its_bound():
    mix = mix_of(a_case([9.0, 1.0], a_type("a", 1.0, [3.0, 0.0]), a_type("b", 4.0, [9.0, 1.0])))

    assert ((3, 1), pytest.approx(7.0)) == (mix.replicas, mix.bound)


def test_a_box_may_hold_no_plan_or_only_dearer_ones_than_the_draft():
    case = a_case([9.0], a_type("a", 1.0, [3.0]), a_type("b", 4.0, [9.0]))

    boxes = [case.bounds, [(3, 9), (0, 0)], [(0, 2), (0, 0)], [(0, 2), (0, 9)]]

    assert [(3, 0), (3, 0), None, None] == [mix and mix.replicas for mix in (mix_of(case, box) for box in boxes)]


def test_changes_are_priced():
    case = a_case([9.0], a_type("a", 1.0, [3.0]), a_type("b", 3.1, [9.0]), current=(0, 1))

    assert ((0, 1), pytest.approx(3.1)) == (mix_of(case).replicas, mix_of(case).bound)


def test_a_free_type_has_no_more_replicas_than_it_needs():
    assert (3,) == mix_of(a_case([9.0], a_type("a", 0.0, [3.0], highest=50))).replicas
