"""The choice among the profiles of a deployment, and what stands in for a broken one."""

import pytest
from structlog.testing import capture_logs

from optimizer.planning.deployments import Deployment
from optimizer.service.profile_shelf import Found, Offered, ProfileShelf
from tests.support.optimizer import a_profile

D = Deployment("default", "d", "m", 0, 0)
GRID = [[10.0, 2.0], [5.0, 1.0]]


def found(place: str, cost: float, **more: object) -> Found:
    return Found(place, a_profile("d", cost, GRID, **more).encode())


def cost(shelf: ProfileShelf) -> float | None:
    profile = shelf.of([D]).get("d")
    return None if profile is None else profile.cost


def test_the_newest_counts_and_of_equals_the_first():
    shelf = ProfileShelf()

    assert {"m"} == shelf.put({D: Offered([found("key", 1.0), found("file", 2.0, created=5.0)])})
    assert (2.0, "file") == (cost(shelf), shelf.places[D.key])
    shelf.put({D: Offered([found("key", 1.0, created=5.0), found("file", 2.0, created=5.0)])})
    assert 1.0 == cost(shelf)


def test_a_bundled_profile_is_used_where_there_is_no_other():
    shelf = ProfileShelf()
    bundled = [found("bundled L20", 9.0, created=99.0)]

    shelf.put({D: Offered([], bundled)})
    assert 9.0 == cost(shelf)
    shelf.put({D: Offered([found("key", 1.0)], bundled)})
    assert 1.0 == cost(shelf)


def test_nothing_changed_is_told():
    shelf = ProfileShelf()
    offered = {D: Offered([found("key", 1.0)])}

    assert [{"m"}, set()] == [shelf.put(offered), shelf.put(offered)]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (a_profile("d", 2.0, [[0, 0], [0, 0]]), "all are 0"),
        (a_profile("d", 2.0, [[float("nan"), 2], [5, 1]]), "tputs[0][0] = NaN"),
        (a_profile("d", 2.0, [[10.0, 2.0]]), "tputs must have 2 rows"),
        ("{", "no JSON"),
    ],
)
def test_a_broken_profile_leaves_the_last_good_one_and_says_so_once(broken: str, why: str):
    shelf = ProfileShelf()
    shelf.put({D: Offered([found("key", 1.0)])})

    with capture_logs() as logs:
        for _ in range(3):
            assert set() == shelf.put({D: Offered([Found("key", broken.encode())])})

    assert 1.0 == cost(shelf)
    assert why in shelf.problems[D.key]
    assert shelf.problems[D.key].endswith("the last good one is used")
    assert ["profile_problem"] == [line["event"] for line in logs]
    shelf.put({D: Offered([found("key", 3.0)])})
    assert (3.0, {}) == (cost(shelf), shelf.problems)


def test_a_profile_that_is_gone_is_kept():
    shelf = ProfileShelf()
    shelf.put({D: Offered([found("key", 1.0)])})

    assert set() == shelf.put({D: Offered([])})
    assert (1.0, "key: is gone; the last good one is used") == (cost(shelf), shelf.problems[D.key])
    shelf.put({D: Offered([found("key", 1.0)])})
    assert {} == shelf.problems


def test_a_broken_profile_does_not_hide_another_place():
    shelf = ProfileShelf()

    shelf.put({D: Offered([Found("key", b"{"), found("file", 2.0)])})

    assert 2.0 == cost(shelf)
    assert shelf.problems[D.key].startswith("key: no JSON")


def test_without_any_it_says_where_it_looked():
    shelf = ProfileShelf()

    assert set() == shelf.put({D: Offered([], looked_at=["key aibrix:profile_m_d", "profiles"])})

    assert {D.key: "no profile: looked at key aibrix:profile_m_d, profiles"} == shelf.problems
    assert ({}, {}) == (shelf.of([D]), shelf.places)


def test_deployments_that_are_gone_are_forgotten():
    shelf = ProfileShelf()
    shelf.put({D: Offered([found("key", 1.0)])})

    shelf.put({})
    shelf.put({D: Offered([])})

    assert {} == shelf.of([D])
