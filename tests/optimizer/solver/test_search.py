"""The search over boxes: replicas that only the solver's tolerance lets carry the load are excluded."""

from collections.abc import Sequence

import pytest

from optimizer.solver import search, shares
from optimizer.solver.case import Case, Limit
from optimizer.solver.draft import Draft
from optimizer.solver.greedy import first_draft
from optimizer.solver.linear import Budget
from optimizer.solver.search import cheapest
from tests.support.cases import a_case, a_type


def found(case: Case, seconds: float = 5.0) -> tuple[Draft, float] | None:
    return cheapest(case, [0.0] * len(case.rates), first_draft(case), Budget(seconds))


@pytest.mark.parametrize("beyond", [1e-6, 1e-7, 1e-8])
def test_a_load_just_beyond_whole_replicas_takes_the_next_best_mix(beyond: float):
    case = a_case([2.0 + beyond], a_type("a", 1.0, [1.0]), a_type("b", 2.2, [2.5]))

    draft, bound = found(case)

    assert ((0, 1), pytest.approx(2.2)) == (draft.replicas, bound)


def test_a_load_of_exactly_whole_replicas_fits():
    case = a_case([0.1, 0.2, 0.3], a_type("a", 1.0, [0.3] * 3), a_type("b", 2.2, [0.9] * 3))

    assert (2, 0) == found(case)[0].replicas


def test_two_types_that_are_both_a_little_short():
    case = a_case([1.0 + 1e-7, 1.0 + 1e-7], a_type("a", 1.0, [1.0, 0.0]), a_type("b", 1.0, [0.0, 1.0]))

    draft, bound = found(case)

    assert ((2, 2), pytest.approx(4.0)) == (draft.replicas, bound)


@pytest.mark.parametrize("short", [1e-7, 1e-8])
def test_replicas_that_only_the_tolerance_lets_a_budget_pay_are_excluded(short: float):
    types = a_type("a", 1.0, [1.0]), a_type("b", 1.1, [1.0]), a_type("c", 9.0, [9.0], lowest=1)
    budget = Limit("budget", (1.0, 1.0, 0.0), 3.0 - short)
    case = a_case([12.0], *types, limits=(budget,))

    draft, bound = found(case)

    assert ((0, 0, 2), pytest.approx(18.0)) == (draft.replicas, bound)


def test_checks_of_replicas_count_for_the_time_and_end_with_it(monkeypatch: pytest.MonkeyPatch):
    checked = []

    def slow(case: Case, replicas: Sequence[int], lost: float, budget: Budget) -> Draft | None:
        checked.append(tuple(replicas))
        budget.left_s -= 200.0
        return shares.fitted(case, replicas, lost, budget)

    monkeypatch.setattr(search, "fitted", slow)
    case = a_case([10.0 + 5e-7], *(a_type(name, 1.0, [1.0]) for name in "abcde"))

    draft, bound = found(case, seconds=500.0)

    assert (11, 3) == (sum(draft.replicas), len(checked))
    assert bound < 11
