"""Replicas follow plans: up at once, down after agreement and a check, never with a gap."""

from optimizer.stability import AGREEING, Holding, carrying, hold, settle
from tests.support.cases import a_case, a_type


def always(_replicas: object) -> bool:
    return True


def after(before: Holding, *plans: dict[str, int], ready: dict[str, int] | None = None, carries=always) -> Holding:
    for plan in plans:
        before = settle(before, plan, before.replicas if ready is None else ready, carries)
    return before


def test_more_replicas_are_wanted_at_once():
    assert {"a": 5, "b": 2} == after(Holding({"a": 1}), {"a": 5, "b": 2}).replicas


def test_fewer_are_wanted_when_so_many_plans_agree_and_until_then_it_says_why():
    held = after(Holding({"a": 5}), {"a": 2})
    agreed = after(held, *[{"a": 2}] * (AGREEING - 1))

    assert ({"a": 5}, {"a": "2 more plans must agree"}) == (held.replicas, held.held)
    assert ({"a": 2}, {}) == (agreed.replicas, agreed.held)


def test_the_largest_of_the_last_plans_counts():
    plans = [{"a": 1}, {"a": 4}, {"a": 2}]

    settled = after(Holding({"a": 9}), *plans)

    assert {"a": 4} == settled.replicas
    assert ["a"] == list(settled.held)
    assert {"a": 2} == after(settled, {"a": 2}, {"a": 2}).replicas


def test_replicas_that_stay_must_carry_the_load():
    settled = after(Holding({"a": 5}), *[{"a": 1}] * AGREEING, carries=lambda replicas: replicas["a"] >= 3)

    assert ({"a": 3}, ["a"]) == (settled.replicas, list(settled.held))


def test_a_swap_keeps_the_old_until_the_new_are_ready():
    plans = [{"a": 0, "b": 2}] * AGREEING

    waiting = after(Holding({"a": 4, "b": 0}), *plans, ready={"a": 4, "b": 1})
    swapped = after(waiting, plans[0], ready={"a": 4, "b": 2})

    assert ({"a": 4, "b": 2}, {"a": "waiting for b to be ready"}) == (waiting.replicas, waiting.held)
    assert {"a": 0, "b": 2} == swapped.replicas


def test_a_type_that_no_plan_names_any_more_goes_too():
    assert {"old": 0, "a": 1} == after(Holding({"old": 2}), *[{"a": 1}] * AGREEING, ready={"a": 1}).replicas


def test_without_a_plan_all_stays_and_agreement_begins_anew():
    before = after(Holding({"a": 5}), *[{"a": 2}] * (AGREEING - 1))

    held = hold(before, "traces are 90 s old")
    later = after(held, {"a": 2})

    assert ({"a": 5}, {"a": "traces are 90 s old"}) == (held.replicas, held.held)
    assert {"a": 5} == later.replicas


def test_two_do_not_become_one_that_would_be_full():
    fleet = a_case([9.0, 1.0, 7.0], a_type("a", throughput=[10.0, 10.0, 0.0]), a_type("b", throughput=[1.0, 0.0, 0.0]))
    carries = carrying(fleet)

    assert [False, True, True] == [carries(replicas) for replicas in ({"a": 1}, {"a": 2}, {"a": 1, "b": 4})]
    assert {"a": 2} == after(Holding({"a": 2}), *[{"a": 1}] * 5, carries=carries).replicas
