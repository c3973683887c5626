"""Requests that must stay unserved, with and without limits that types share."""

from dataclasses import replace

import pytest

from optimizer.solver.case import Limit
from optimizer.solver.greedy import first_draft
from optimizer.solver.linear import Budget
from optimizer.solver.serving import least_lost, least_unserved, served_within_limits
from tests.support.cases import a_case, a_type


def test_unserved_is_what_all_capped_types_together_cannot_carry_by_rate():
    case = a_case(
        [4.0, 1.0, 2.0, 0.0],
        a_type("a", 1.0, [2.0, 1.0, 0.0, 1.0], highest=1),
        a_type("b", 1.0, [0.0, 1.0, 0.0, 1.0]),
    )

    assert (0.5, 0.0, 1.0, 0.0) == pytest.approx(least_unserved(case, Budget(5.0)))


def test_within_a_limit_whole_replicas_are_chosen_that_serve_the_most():
    small, large = a_type("small", 1.0, [2.0, 0.0]), a_type("large", 1.0, [0.0, 7.0])
    case = a_case([9.0, 7.0], small, large, limits=(Limit("GPUs", (1.0, 3.0), 4.0),))

    draft, lost = served_within_limits(case, first_draft(case), Budget(5.0))

    assert ((1, 1), pytest.approx(7.0)) == (draft.replicas, lost)
    assert 7.0 == pytest.approx(case.lost(draft.unserved))


def test_the_least_that_is_lost_is_told_with_and_without_limits():
    case = a_case([9.0, 7.0], a_type("a", 1.0, [2.0, 0.0], highest=4), a_type("b", 1.0, [0.0, 7.0]))

    assert [1.0, 7.0] == pytest.approx(
        [least_lost(replace(case, limits=limits), Budget(5.0)) for limits in ((), (Limit("GPUs", (1.0, 3.0), 4.0),))]
    )


def test_who_loses_only_what_nobody_can_serve_is_not_solved_again():
    case = a_case([9.0, 1.0], a_type("a", 1.0, [2.0, 0.0]), limits=(Limit("GPUs", (1.0,), 5.0),))
    first, budget = first_draft(case), Budget(5.0)

    assert (first, 1.0, 5.0) == (*served_within_limits(case, first, budget), budget.left_s)


def test_without_time_the_draft_stays_and_nothing_is_proven():
    case = a_case([9.0, 8.0], a_type("a", 1.0, [2.0, 1.0]), limits=(Limit("GPUs", (1.0,), 5.0),))
    first = first_draft(case)

    draft, lost = served_within_limits(case, first, Budget(0.0))

    assert not first.is_better(draft, case)
    assert 0.0 <= lost <= case.lost(draft.unserved)
