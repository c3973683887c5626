"""The checker finds each way in which a plan can be wrong."""

import pytest

from optimizer.solver.case import Limit
from optimizer.solver.checker import problems_of
from tests.support.cases import a_case, a_type

CASE = a_case(
    [4.0, 1.0, 0.0],
    a_type("a", 1.0, [2.0, 0.0, 1.0], highest=4),
    a_type("b", 3.0, [4.0, 1.0, 0.0], lowest=1),
)
GOOD = {
    "replicas": (2, 1),
    "shares": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "unserved": (0.0, 0.0, 0.0),
    "cost": 5.0,
}


def problems(**changed: object) -> list[str]:
    return list(problems_of(CASE, **(GOOD | changed)))


def test_a_good_plan_has_no_problems():
    assert [] == problems()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"replicas": (5, 1), "cost": 8.0}, "a: 5 replicas, must be 0 to 4"),
        ({"replicas": (2, 0), "cost": 2.0}, "b: 0 replicas, must be 1"),
        ({"replicas": (1, 1), "cost": 4.0}, "a: 1 replicas are to carry the load of 2.0"),
        ({"shares": ((1.0, 0.1, 0.0), (0.0, 0.9, 0.0))}, "a: has a share of bucket 1 and cannot serve it"),
        ({"shares": ((0.9, 0.0, 0.0), (0.0, 1.0, 0.0))}, "bucket 0: its shares are 0.9, must be 1"),
        ({"shares": ((1.1, 0.0, 0.0), (-0.1, 1.0, 0.0))}, "a: share 1.1 of bucket 0, must be 0 to 1"),
        ({"shares": ((float("nan"), 0.0, 0.0), (0.0, 1.0, 0.0))}, "share nan of bucket 0"),
        ({"shares": ((1.0, 0.0, 0.0), (0.0, 0.5, 0.0)), "unserved": (0.0, 0.5, 0.0)}, "0.5 of it is unserved, b could"),
        ({"unserved": (0.0, 2.0, 0.0)}, "unserved = 2.0, must be 0 to 1"),
        ({"cost": 4.9}, "cost = 4.9, the replicas cost 5.0"),
        ({"cost": float("nan")}, "cost = nan"),
    ],
)
def test_a_violation_is_named(changed, named):
    assert [] != [problem for problem in problems(**changed) if named in problem], problems(**changed)


def test_a_bucket_without_load_does_not_ride_on_zero_replicas():
    case = a_case([1e-9], a_type("a", throughput=[1e9]))

    assert "a: has a share of bucket 0 and cannot serve it" in problems_of(case, [0], [[1.0]], [0.0], 0.0)


@pytest.mark.parametrize(("share", "found"), [(1.0, 0), (0.999, 1)])
def test_a_capped_type_must_be_used_up_before_anything_is_unserved(share, found):
    case = a_case([10.0], a_type("a", throughput=[5.0], highest=1))

    assert found == len(list(problems_of(case, [1], [[share / 2]], [1 - share / 2], 1.0)))


def test_tolerances_grow_with_the_load_but_not_to_a_replica():
    case = a_case([1e9], a_type("a", throughput=[3.0]))

    assert [] == list(problems_of(case, [333_333_334], [[1.0]], [0.0], 333_333_334.0))
    assert 1 == len(list(problems_of(case, [333_333_333], [[1.0]], [0.0], 333_333_333.0)))


def test_limits_are_named_with_what_is_used():
    case = a_case([4.0], a_type("a", 1.0, [1.0]), a_type("b", 2.0, [1.0]), limits=(Limit("cap", (1.0, 2.0), 7.0),))
    floor = a_case([4.0], a_type("a", 1.0, [1.0]), limits=(Limit("floor", (-1.0,), -5.0),))

    assert ["cap: 8, must be at most 7"] == list(problems_of(case, [0, 4], [[0.0], [1.0]], [0.0], 8.0))
    assert [] == list(problems_of(case, [1, 3], [[0.25], [0.75]], [0.0], 7.0))
    assert ["floor: 4, must be at least 5"] == list(problems_of(floor, [4], [[1.0]], [0.0], 4.0))


@pytest.mark.parametrize(("cap", "found"), [(2.0, 1), (1.5, 0)])
def test_who_could_serve_what_is_unserved_must_have_a_replica_more_within_the_limits(cap: float, found: int):
    case = a_case([4.0], a_type("a", 1.0, [2.0]), limits=(Limit("cap", (1.0,), cap),))

    assert found == len(list(problems_of(case, [1], [[0.5]], [0.5], 1.0)))


@pytest.mark.parametrize(
    ("highest", "rate", "gap", "found"),
    [(1, 0.4, 0.0, 1), (1, 0.9, 0.0, 0), (2, 0.9, 0.0, 1), (2, 0.9, 0.1, 0)],
)
def test_a_replica_of_a_later_pool_that_an_earlier_one_could_replace_is_no_optimum(highest, rate, gap, found):
    own, cloud = a_type("own", 9.0, [0.5, 1.0], highest=highest), a_type("cloud", 1.0, [0.0, 1.0], priority=1)
    case = a_case([0.25, rate], own, cloud)

    problems = problems_of(case, [1, 1], [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], 10.0, gap=gap)

    assert found * ["cloud: a replica less would do, own of an earlier pool could carry its load"] == list(problems)
