"""The order of those that wait: virtual token counters between users, shortest first within one."""

import random
from collections import Counter

import pytest

from routing import fair_queue
from routing.fair_queue import AGING, LEAD_TOKENS, FairQueue, flow, priority_of


def drained(queue: FairQueue[str], cost: float = 1.0) -> list[str]:
    """All that wait in their order; each costs its user as much."""
    order = []
    while queue:
        user, item = next(iter(queue))
        queue.remove(user, item)
        queue.charge(user, cost)
        order.append(item)
    return order


def test_one_users_shortest_is_first_and_equals_in_the_order_of_coming() -> None:
    queue: FairQueue[str] = FairQueue()
    for item, work_s in (("long", 2.0), ("first", 1.0), ("second", 1.0)):
        queue.push("u", item, work_s, 0.0)

    assert len(queue) == 3
    assert drained(queue) == ["first", "second", "long"]


def test_long_work_that_has_waited_goes_before_short_work_that_has_not() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("u", "long", 1.0, 0.0)
    queue.push("u", "short", 0.1, 0.9 * AGING + 0.01)
    queue.push("u", "shorter", 0.1, 0.9 * AGING - 0.01)

    assert drained(queue) == ["shorter", "long", "short"]


def test_users_take_turns_however_much_each_sends() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(6):
        queue.push("much", f"m{number}", 1.0, 0.0)
    for number in range(2):
        queue.push("little", f"l{number}", 9.0, 1.0)

    assert [item[0] for item in drained(queue)] == list("mlmlmmmm")


def test_service_counts_by_its_weight() -> None:
    queue: FairQueue[str] = FairQueue()
    served: Counter[str] = Counter()
    for number in range(100):
        queue.push("a", f"a{number}", 1.0, 0.0)
        queue.push("b", f"b{number}", 1.0, 0.0)
    for _ in range(60):
        user, item = next(iter(queue))
        queue.remove(user, item)
        queue.charge(user, {"a": 1.0, "b": 3.0}[user])
        served[user] += 1

    assert served == {"a": 45, "b": 15}


def test_a_user_who_was_idle_has_earned_no_credit() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("busy", "b0", 1.0, 0.0)
    queue.charge("busy", 1000.0)
    for number in range(1, 4):
        queue.push("busy", f"b{number}", 1.0, 0.0)
    for number in range(4):
        queue.push("late", f"l{number}", 1.0, 5.0)

    assert [item[0] for item in drained(queue)] == list("blblblbl")


def test_a_user_who_joins_an_empty_queue_gets_the_counter_of_the_last_user() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("early", "e", 1.0, 0.0)
    queue.charge("early", 10.0)
    assert drained(queue, 0.0) == ["e"]
    queue.push("late", "l", 1.0, 1.0)
    queue.charge("late", 1.0)
    queue.push("early", "e", 1.0, 1.0)

    assert queue.page() == {"late": {"waiting": 1, "counter": 11.0}, "early": {"waiting": 1, "counter": 11.0}}


def test_a_correction_gives_back_the_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    for user in "ab":
        queue.push(user, user, 1.0, 0.0)
    queue.charge("a", 10.0)
    queue.charge("b", 5.0)
    queue.charge("a", -9.0)

    assert next(iter(queue)) == ("a", "a")


def test_what_is_ahead_is_ones_own_and_as_much_of_each_other() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("me", "short", 1.0, 0.0)
    queue.push("me", "long", 5.0, 0.0)
    queue.push("little", "x", 0.5, 0.0)
    for number in range(10):
        queue.push("much", f"m{number}", 1.0, 0.0)

    assert queue.work_ahead_s("me", 2.0, 0.0) == pytest.approx(1.0 + 0.5 + 3.0)
    assert queue.work_ahead_s("new", 2.0, 0.0) == pytest.approx(2.0 + 0.5 + 2.0)


def test_the_difference_of_service_between_users_who_keep_waiting_is_bounded() -> None:
    rng, queue = random.Random(1), FairQueue[str]()
    served, costs = dict.fromkeys("abc", 0.0), {}
    for user, many in (("a", 3000), ("b", 400), ("c", 700)):
        for number in range(many):
            item = f"{user}{number}"
            costs[item] = rng.uniform(1.0, 100.0)
            queue.push(user, item, costs[item], float(number))
    for _ in range(1000):
        user, item = next(iter(queue))
        queue.remove(user, item)
        queue.charge(user, costs[item])
        served[user] += costs[item]
        assert max(served.values()) - min(served.values()) <= 2 * 100.0


def test_counters_of_users_who_are_gone_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MAX_IDLE_USERS", 10)
    queue: FairQueue[str] = FairQueue()
    queue.push("waits", "w", 1.0, 0.0)
    for number in range(50):
        queue.charge(f"u{number}", 1.0)

    assert len(queue.counters) <= 12
    assert "waits" in queue.counters


def test_a_user_who_waits_elsewhere_comes_first_if_served_less() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("here", "h", 1.0, 0.0)
    queue.wait_elsewhere("other", {"there": 1.0})
    assert queue.may_be_served("here")

    queue.charge("here", LEAD_TOKENS + 1)
    assert (False, ["other"]) == (queue.may_be_served("here"), queue.rivals())
    queue.charge_elsewhere({"there": 2.0}, in_all=False)
    assert (True, ["other"]) == (queue.may_be_served("here"), queue.rivals())
    queue.charge_elsewhere({"there": 2 * LEAD_TOKENS}, in_all=False)
    assert (True, []) == (queue.may_be_served("here"), queue.rivals())


def test_a_user_who_begins_to_wait_elsewhere_has_earned_no_credit_and_is_raised_once() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("busy", "b", 1.0, 0.0)
    queue.charge("busy", 1000.0)
    queue.wait_elsewhere("x", {"idle": 1.0})
    queue.wait_elsewhere("y", {"idle": 1.0})
    queue.push("idle", "i", 1.0, 0.0)

    assert {"busy": {"waiting": 1, "counter": 1000.0}, "idle": {"waiting": 1, "counter": 1000.0}} == queue.page()


def test_the_last_user_may_have_waited_elsewhere() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.wait_elsewhere("other", {"early": 1.0})
    queue.charge_elsewhere({"early": 10.0}, in_all=False)
    queue.wait_elsewhere("other", {})
    queue.push("late", "l", 1.0, 0.0)

    assert {"late": {"waiting": 1, "counter": 10.0}} == queue.page()
    assert not queue.waits_elsewhere


def test_of_all_counters_of_another_replica_those_that_are_ahead_count() -> None:
    queue: FairQueue[str] = FairQueue()
    for user in "ab":
        queue.charge(user, 10.0)
        queue.push(user, user, 1.0, 0.0)
    queue.charge_elsewhere({"a": 7.0, "b": 12.0}, in_all=True)

    assert [10.0, 12.0] == [line["counter"] for line in queue.page().values()]


def test_what_waits_elsewhere_is_ahead_by_turns_too() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("me", "short", 1.0, 0.0)
    queue.push("other", "o", 1.0, 0.0)
    queue.wait_elsewhere("x", {"me": 0.5, "other": 9.0, "third": 0.25})
    queue.wait_elsewhere("y", {"me": 9.0})

    assert queue.work_ahead_s("me", 2.0, 0.0) == pytest.approx(1.0 + 0.5 + 3.0 + 3.0 + 0.25)


def test_others_are_told_of_work_as_long_as_it_waits() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("u", "long", 2.0, 0.0)
    queue.push("u", "unknown", 0.0, 0.0)
    queue.push("u", "choosy", 5.0, 0.0, is_told=False)
    assert {"u": 2.0} == queue.told_s

    queue.remove("u", "long")
    assert {"u": 0.0} == queue.told_s
    queue.remove("u", "unknown")
    assert {} == queue.told_s


def test_counters_of_users_who_wait_elsewhere_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MAX_IDLE_USERS", 3)
    queue: FairQueue[str] = FairQueue()
    queue.wait_elsewhere("other", {"a": 1.0, "b": 1.0})
    for number in range(9):
        queue.charge(f"u{number}", 1.0)

    assert {"a", "b"} < queue.counters.keys()


def test_over_replicas_that_tell_each_other_the_difference_of_service_is_bounded_too() -> None:
    """Four queues; each serves in a random order, as far as it may, and tells the others after some more."""
    rng, names = random.Random(1), "wxyz"
    queues = {name: FairQueue[str]() for name in names}
    costs, served = {}, dict.fromkeys("abc", 0.0)
    for user, at in (("a", "wx"), ("b", "xyz"), ("c", "z")):
        for number in range(600):
            item = f"{user}{number}"
            costs[item] = rng.uniform(1.0, 1000.0)
            queues[rng.choice(at)].push(user, item, 1.0, float(number))
    untold: list[tuple[str, str, float]] = []
    for turn in range(1600):
        if turn % 8 == 0:
            for sender, user, cost in untold:
                for name in set(names) - {sender}:
                    queues[name].charge_elsewhere({user: cost}, in_all=False)
            untold.clear()
            for sender in names:
                for name in set(names) - {sender}:
                    queues[name].wait_elsewhere(sender, dict(queues[sender].told_s))
        name = rng.choice(names)
        user, item = next(iter(queues[name]), ("", ""))
        if user and queues[name].may_be_served(user):
            queues[name].remove(user, item)
            queues[name].charge(user, costs[item])
            untold.append((name, user, costs[item]))
            served[user] += costs[item]
            assert max(served.values()) - min(served.values()) <= 2 * 1000.0 + LEAD_TOKENS + 8 * 1000.0

    assert min(served.values()) > 50 * 1000.0


@pytest.mark.parametrize("priority", [-(2**63), -7, 0, 3, 10**6])
@pytest.mark.parametrize("user", ["", "lgy", "-5", "fairness-id, 5,x"])
def test_a_flow_says_its_priority(user: str, priority: int) -> None:
    assert priority == priority_of(flow(user, priority))


def test_a_higher_priority_goes_before_all_others_and_fairness_is_within_one() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.charge("b", 1000.0)
    for priority in (-1, 0, 5):
        for user in "ab":
            for number in range(2):
                queue.push(flow(user, priority), f"{priority}{user}{number}", 1.0, 0.0)

    assert drained(queue) == [
        *("5a0", "5b0", "5a1", "5b1"),
        *("0a0", "0a1", "0b0", "0b1"),
        *("-1a0", "-1b0", "-1a1", "-1b1"),
    ]


def test_work_of_a_higher_priority_is_ahead_whole_and_of_a_lower_one_not_at_all() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push(flow("high", 1), "h", 10.0, 0.0)
    queue.push("same", "s", 10.0, 0.0)
    queue.push(flow("low", -1), "l", 10.0, 0.0)
    queue.wait_elsewhere("r", {flow("far", 1): 5.0, flow("far", -1): 5.0})

    ahead_s = {priority: queue.work_ahead_s(flow("new", priority), 1.0, 0.0) for priority in (2, 1, 0, -1, -2)}

    assert ahead_s == {2: 0.0, 1: 2.0, 0: 16.0, -1: 27.0, -2: 40.0}


def test_over_replicas_the_highest_priority_that_waits_anywhere_is_next() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("here", "h", 1.0, 0.0)
    queue.wait_elsewhere("low", {flow("u", -1): 1.0})
    assert queue.may_be_served("here")
    assert queue.rivals() == []

    queue.wait_elsewhere("high", {flow("u", 1): 1.0})
    queue.charge(flow("u", 1), 10 * LEAD_TOKENS)  # what the user was served counts among equals only
    assert not queue.may_be_served("here")
    assert queue.rivals() == ["high"]
