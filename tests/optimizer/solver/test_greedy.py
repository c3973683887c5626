"""Plans without a solver: never dearer than the best type alone, and better after improvement."""

from hypothesis import HealthCheck, given, settings

from optimizer.solver.case import Case
from optimizer.solver.checker import problems_of
from optimizer.solver.greedy import bound, first_draft, improve
from tests.support.cases import a_case, a_type, small_cases

some = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@some
@given(small_cases())
def test_drafts_are_plans_and_improvement_makes_them_no_worse(case: Case):
    first = first_draft(case)
    better, least = improve(case, first), bound(case)

    for draft in (first, better):
        cost = case.cost(draft.replicas)
        assert [] == list(problems_of(case, draft.replicas, draft.shares, draft.unserved, cost))
    assert not first.is_better(better, case)
    assert least <= case.price(better.replicas) + 1e-9


@some
@given(small_cases(capped=False, moving=False))
def test_no_draft_is_dearer_than_the_best_type_alone(case: Case):
    alone = [Case((gpu,), case.rates, case.headroom) for gpu in case.types if all(gpu.throughput)]

    cost = case.cost(first_draft(case).replicas)

    assert all(cost <= single.cost(first_draft(single).replicas) + 1e-9 for single in alone)


def test_what_rounding_leaves_of_a_bucket_buys_no_replica():
    case = a_case([0.2, 1.0], a_type("a", 0.3, [0.0, 0.1]), a_type("b", 0.3, [0.3, 0.3]))

    assert (0, 4) == first_draft(case).replicas


def test_each_bucket_goes_to_the_type_that_carries_it_for_the_least():
    case = a_case([10.0, 10.0], a_type("a", 1.0, [5.0, 1.0]), a_type("b", 3.0, [5.0, 5.0]))

    assert ((1.0, 0.0), (0.0, 1.0)) == first_draft(case).shares


def test_a_replica_whose_load_fits_elsewhere_is_dropped():
    case = a_case([4.0, 0.5], a_type("a", 1.0, [4.0, 5.0]), a_type("b", 9.0, [40.0, 100.0], lowest=1))

    assert ((0, 1), 9.0) == (improve(case, first_draft(case)).replicas, bound(case))


def test_dear_replicas_are_swapped_for_cheap_ones_and_back():
    case = a_case([4.0, 4.0], a_type("a", 1.0, [1.0, 1.01]), a_type("b", 2.5, [8.0, 0.5]), a_type("c", 2.4, [4.0, 4.0]))

    draft = improve(case, first_draft(case))

    assert case.cost(draft.replicas) <= 4.8 + 1e-9


def test_scarce_room_goes_to_who_has_no_other_choice():
    case = a_case([5.0, 5.0], a_type("a", 1.0, [5.0, 5.0], highest=1), a_type("b", 4.0, [5.0, 0.0], highest=1))

    assert ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0)) == (*first_draft(case).shares, first_draft(case).unserved)
