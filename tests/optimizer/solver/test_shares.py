"""Shares for given replicas, against exact fractions."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.solver.case import Case
from optimizer.solver.draft import draft_of, loads_of
from optimizer.solver.shares import fits, fitted, lowered, split
from tests.support.cases import a_case, a_type, small_cases
from tests.support.exact_mix import served


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(small_cases(), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_replicas_serve_as_much_as_they_can(case: Case, replicas: list[int]):
    most = [n if gpu.highest is None else gpu.highest for gpu, n in zip(case.types, replicas, strict=False)]
    draft = split(case, [min(n, highest) for n, highest in zip(replicas, most, strict=False)])

    most = float(served(case, draft.replicas))
    assert fits(case, draft)
    assert pytest.approx(most, rel=1e-6, abs=1e-9) == sum(case.rates) - case.lost(draft.unserved)


def test_the_highest_utilisation_is_lowest():
    case = a_case([3.0, 1.0], a_type("a", throughput=[2.0, 2.0]), a_type("b", throughput=[2.0, 0.0]))

    assert [1.0 / 3 * 2, 1.0 / 3 * 2] == pytest.approx(
        [load / n for load, n in zip(loads_of(case, split(case, [2, 1]).shares), [2, 1], strict=True)]
    )


def test_replicas_that_lose_more_than_must_be_do_not_fit():
    case = a_case([4.0], a_type(throughput=[2.0]))

    assert (None, (2,)) == (fitted(case, [1], lost=0.0), fitted(case, [2], lost=0.0).replicas)
    assert (1,) == fitted(case, [1], lost=2.0).replicas


def test_replicas_that_are_not_needed_are_dropped_where_the_bound_leaves_it_open():
    case = a_case([4.0], a_type(throughput=[2.0]), a_type("b", 9.0, [2.0], lowest=1))
    wasteful = draft_of(case, {(0, 0): 1.0}, [4, 1])

    assert [(1, 1), (4, 1)] == [lowered(case, wasteful, bound).replicas for bound in (10.0, 13.0)]
