"""The arithmetic of a planning problem."""

from math import inf

import pytest

from optimizer.solver.case import MOST_REPLICAS, Limit, replicas_for, slack
from tests.support.cases import a_case, a_type


def test_a_load_is_the_replicas_that_a_bucket_fills_with_headroom():
    case = a_case([10.0, 3.0], a_type(throughput=[4.0, 0.0]), headroom=1.5)

    assert ((3.75, inf),) == case.loads


def test_who_would_need_absurdly_many_replicas_serves_nothing():
    case = a_case([1e9], a_type("a", throughput=[1e9 / MOST_REPLICAS / 2]), a_type("b", throughput=[1.0]))

    assert {0: (1,)} == case.carriers


def test_buckets_without_requests_and_types_without_replicas_carry_nothing():
    case = a_case([0.0, 1.0, 1.0], a_type(throughput=[1.0, 1.0, 0.0]), a_type("none", throughput=[1.0] * 3, highest=0))

    assert {1: (0,)} == case.carriers


@pytest.mark.parametrize(
    ("throughput", "limits", "expected"),
    [([1.0, 0.4], {}, (0, 5)), ([1e9, 0.0], {}, (0, 1)), ([0.0, 0.0], {}, (0, 0)), ([1.0, 1.0], {"highest": 9}, (0, 9)),
     ([0.0, 0.0], {"lowest": 2}, (2, 2))],
)  # fmt: skip
def test_no_more_replicas_than_all_buckets_need_unless_they_must(throughput, limits, expected):
    assert (expected,) == a_case([2.0, 1.0], a_type(throughput=throughput, **limits)).bounds


def test_changes_from_what_runs_have_a_price_and_are_free_where_that_is_unknown():
    types = a_type("a", 2.0), a_type("b", 10.0)

    moving, starting = a_case([1.0], *types, current=(3, 0)), a_case([1.0], *types)

    assert (pytest.approx(0.15 * (2 * 2 + 10)), 0.0) == (moving.migration([1, 1]), starting.migration([1, 1]))
    assert 12.0 + moving.migration([1, 1]) == moving.price([1, 1])


def test_the_tolerance_is_relative_but_never_a_part_of_a_replica_that_counts():
    assert (2e-9, 1e-7 + 1e-5) == (pytest.approx(slack(2.0), rel=1e-4), pytest.approx(slack(1e9)))
    assert [3, 4, 1, 0] == [replicas_for(load) for load in (3.0 + 1e-10, 3.00001, 0.2, 0.0)]
    assert 333_333_334 == replicas_for(1e9 / 3)


def test_limits_bound_each_type_and_may_ask_for_more_of_others():
    spot, own = a_type("spot", 1.0, [1.0]), a_type("own", 1.0, [0.0])
    cap, share, floor = (
        Limit("cap", (2.0, 0.0), 7.0),
        Limit("share", (1.0, -0.5), 0.0),
        Limit("floor", (0.0, -1.0), -4.0),
    )

    bounds = [
        a_case([5.0], spot, own, limits=limits).bounds for limits in ((), (cap,), (share,), (cap, share), (floor,))
    ]

    assert [((0, 5), (0, 0)), ((0, 3), (0, 0)), ((0, 5), (0, 10)), ((0, 3), (0, 6)), ((0, 5), (0, 4))] == bounds


def test_a_limit_has_room_for_whole_replicas_and_forgives_what_adding_up_leaves():
    budget = Limit("budget", (0.7, 0.0), 2.1)

    assert [3.0, 1.0, 0.0, 0.0, inf] == [*(budget.room([n, 9], 0) for n in (0, 2, 3, 4)), budget.room([9, 9], 1)]
    assert (True, False) == tuple(budget.excess([n, 0]) <= 0 for n in (3, 4))


def test_later_pools_come_first_in_what_is_minimised():
    types = (
        a_type("own", 3.0),
        a_type("free", 0.0, priority=5),
        a_type("far", 2.0, priority=5),
        a_type("next", 9.0, priority=1),
    )

    case = a_case([1.0], *types)

    assert ((5, (0.0, 2.0, 2.0, 0.0)), (1, (0.0, 0.0, 0.0, 9.0))) == case.tiers
    assert (6.0, 9.0, 16.0) == case.values([1, 1, 2, 1])
