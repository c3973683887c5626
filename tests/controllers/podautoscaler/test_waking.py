"""A wake starts one target of its model, and another one only where that does not come."""

from math import inf

from autoscaling.spec import Target
from controllers.podautoscaler.waking import STUCK_S, Sleeper, Turns


def target(name: str) -> Target:
    return Target("apps/v1", "Deployment", name, "default")


def turns(model: str = "m", ready: int = 0, **costs: float) -> Turns:
    """Targets that have no replica, with their prices."""
    made = Turns()
    for name, cost in costs.items():
        made.see(target(name), Sleeper(model, 0, ready, cost))
    return made


def woken(made: Turns, *names: str, now_s: float = 0.0) -> list[str]:
    """The targets that look at a wake in this order and find that it is for them."""
    return [name for name in names if made.wakes(target(name), now_s)]


def test_the_cheapest_is_woken_whoever_looks_first():
    for names in ("abc", "cba"):
        assert ["b"] == woken(turns(a=2.0, b=1.0, c=inf), *names)


def test_of_equals_and_without_prices_it_is_the_first_by_name():
    assert ["a"] == woken(turns(b=inf, a=inf), "b", "a")
    assert ["a"] == woken(turns(b=1.0, a=1.0), "b", "a")


def test_one_that_was_ordered_comes_before_the_cheapest():
    made = turns(a=1.0, b=2.0)
    made.see(target("b"), Sleeper("m", 1, 0, 2.0))

    assert ["b"] == woken(made, "a", "b")


def test_one_that_was_woken_stays_it_when_a_cheaper_one_is_seen():
    made = turns(b=2.0)
    assert ["b"] == woken(made, "b")

    made.see(target("a"), Sleeper("m", 0, 0, 1.0))
    assert ["b"] == woken(made, "a", "b")

    made.see(target("b"), Sleeper("m", 0, 0, 2.0))  # it could not be scaled
    assert ["a"] == woken(made, "a", "b")


def test_while_one_is_ready_none_is_woken():
    made = turns(a=1.0, b=2.0)
    made.see(target("b"), Sleeper("m", 1, 1, 2.0))

    assert [] == woken(made, "a", "b")


def test_where_it_does_not_become_ready_the_next_one_is_woken_too():
    made = turns(a=1.0, b=2.0, c=3.0)
    assert ["a"] == woken(made, *"abc")
    assert ["a"] == woken(made, *"abc", now_s=STUCK_S - 1)
    assert ["a", "b"] == woken(made, *"abc", now_s=STUCK_S)
    assert ["a", "b", "c"] == woken(made, *"abc", now_s=2 * STUCK_S)


def test_a_new_wait_begins_with_one_again():
    made = turns(a=1.0, b=2.0)
    assert ["a"] == woken(made, *"ab")
    made.rest("m")

    assert ["a"] == woken(made, *"ab", now_s=STUCK_S)


def test_other_models_and_targets_that_are_gone_take_no_turn():
    made = turns(b=2.0)
    made.see(target("a"), Sleeper("other", 0, 0, 1.0))
    assert ["a", "b"] == woken(made, "a", "b")

    made.see(target("c"), Sleeper("m", 3, 0, 3.0))
    made.forget(target("b"))
    made.see(target("d"), Sleeper("m", 0, 0, 0.5))
    made.forget(target("c"))
    assert ["d"] == woken(made, "d")
