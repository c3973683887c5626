"""Up at once, down late, and only what the rest can do without."""

from optimizer.planning.stability import Settled, Stability
from optimizer.solver.case import Case, GpuType, Limit


def settle(stability: Stability, rate: float, wanted: int, in_force: int, ready: int | None = None) -> Settled:
    case = Case((GpuType("a", 1.0, (10.0,)),), (rate,))
    return stability.settle(case, {"a": wanted}, {"a": in_force}, {"a": in_force if ready is None else ready})


def test_more_is_taken_at_once():
    assert Settled({"a": 5}) == settle(Stability(3, 3, 1.0), 50.0, 5, in_force=2)


def test_fewer_wait_for_plans_that_agree():
    stability = Stability(3, 3, 1.0)

    assert Settled({"a": 5}, ("a: 5 to 2 replicas waits for 2 more plans that agree",)) == settle(stability, 20, 2, 5)
    assert Settled({"a": 5}, ("a: 5 to 2 replicas waits for 1 more plan that agrees",)) == settle(stability, 20, 2, 5)
    assert Settled({"a": 2}) == settle(stability, 20.0, 2, 5)


def test_the_plans_agree_on_the_most_that_any_of_them_wants():
    stability = Stability(3, 3, 1.0)

    counts = [settle(stability, 10.0 * wanted, wanted, 5).replicas["a"] for wanted in (2, 4, 3, 2, 2)]

    assert [5, 5, 4, 4, 3] == counts


def test_a_plan_that_wants_them_all_begins_the_count_anew():
    stability = Stability(2, 2, 1.0)

    counts = [settle(stability, 10.0 * wanted, wanted, 5).replicas["a"] for wanted in (2, 5, 2, 2)]

    assert [5, 5, 5, 2] == counts


def test_those_that_stay_must_not_be_used_to_the_full():
    stability = Stability(1, 1, 0.9)

    assert Settled({"a": 2}, ("a: 2 to 1 replicas waits: those that stay would be used too much",)) == settle(
        stability, 9.5, 1, 2
    )
    assert Settled({"a": 1}) == settle(stability, 9.0, 1, 2)


def test_those_that_stay_may_be_used_to_the_full_when_plans_agree_for_long():
    stability = Stability(2, 60, 0.9)

    assert [2] * 9 + [1] == [settle(stability, 9.5, 1, 2).replicas["a"] for _ in range(10)]


def test_as_many_go_as_the_rest_allows():
    assert 4 == settle(Stability(1, 1, 0.9), 29.5, 3, 9).replicas["a"]


def test_only_ready_replicas_count_as_staying():
    settled = settle(Stability(1, 1, 1.0), 20.0, 2, 4, ready=1)

    assert Settled({"a": 4}, ("a: 4 to 2 replicas waits: a has 1 of 2 ready",)) == settled


def test_an_old_type_goes_as_the_new_one_becomes_ready():
    stability, case = Stability(1, 1, 1.0), Case((GpuType("new", 1.0, (10.0,)), GpuType("old", 2.0, (10.0,))), (40.0,))
    wanted, in_force = {"new": 4, "old": 0}, {"new": 4, "old": 4}

    old = [stability.settle(case, wanted, in_force, {"new": n, "old": 4}).replicas["old"] for n in range(5)]

    assert [4, 3, 2, 1, 0] == old


def test_forgotten_plans_do_not_agree():
    stability = Stability(2, 2, 1.0)
    settle(stability, 20.0, 2, 5)
    stability.forget()

    assert {"a": 5} == settle(stability, 20.0, 2, 5).replicas


def released_after(stability: Stability, rate: float, wanted: int, in_force: int) -> int:
    """Return how many plans it takes until a release."""
    for number in range(1, 100):
        if settle(stability, rate, wanted, in_force).replicas["a"] < in_force:
            return number
    raise AssertionError("never")


def test_a_release_that_is_regretted_doubles_the_plans_that_must_agree_up_to_the_most():
    stability, waits = Stability(3, 16, 1.0), []
    for _ in range(5):
        waits.append(released_after(stability, 10.0, 1, 2))
        assert 2 == settle(stability, 20.0, 2, 1).replicas["a"], "up at once"

    assert [3, 6, 12, 16, 16] == waits


def test_a_release_that_lasts_halves_them():
    stability = Stability(2, 8, 1.0)
    for _ in range(3):
        released_after(stability, 10.0, 1, 2)
        settle(stability, 20.0, 2, 1)
    assert 8 == released_after(stability, 10.0, 1, 2)

    for _ in range(9):
        settle(stability, 10.0, 1, 1)
    settle(stability, 20.0, 2, 1)

    assert 4 == released_after(stability, 10.0, 1, 2)


def test_where_a_limit_leaves_no_room_for_both_the_plan_is_taken_at_once():
    types = GpuType("new", 1.0, (10.0,)), GpuType("old", 2.0, (10.0,))
    limits = [(), (Limit("GPUs", (1.0, 1.0), 4.0),)]

    settled = [
        Stability(3, 3, 1.0).settle(
            Case(types, (40.0,), limits=limit), {"new": 4, "old": 0}, {"new": 0, "old": 4}, {"new": 0, "old": 4}
        )
        for limit in limits
    ]

    assert [{"new": 4, "old": 4}, {"new": 4, "old": 0}] == [each.replicas for each in settled]
    assert "at once" in settled[1].held[0]
