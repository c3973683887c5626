"""The schedule of checks and of decisions about health, in virtual time."""

import random

from gateway.discovery.probing.schedule import JITTER, Schedule, Target
from tests.support.pods import an_endpoint

INTERVAL_S = 10.0


def a_schedule(*names: str, failures: int = 2, doublings: int = 0) -> Schedule:
    schedule = Schedule(INTERVAL_S, random.Random(1), failures=failures, doublings=doublings)
    schedule.replace([an_endpoint(name) for name in names], now_s=0.0)
    return schedule


def only(targets: list[Target]) -> Target:
    (target,) = targets
    return target


def due(schedule: Schedule, now_s: float) -> list[str]:
    """Return the pods that are due; each answers at once."""
    targets = schedule.due(now_s)
    for target in targets:
        schedule.checked(target, healthy=True)
    return [target.pod for target in targets]


def test_new_endpoints_are_due_at_once() -> None:
    assert due(a_schedule("a", "b"), 0.0) == ["a", "b"]


def test_an_endpoint_is_due_again_an_interval_later_give_or_take_the_jitter() -> None:
    schedule = a_schedule("a")
    due(schedule, 0.0)

    wait_s = schedule.wait_s(0.0)

    assert wait_s is not None
    assert INTERVAL_S * (1 - JITTER) <= wait_s <= INTERVAL_S * (1 + JITTER)
    assert due(schedule, wait_s - 0.001) == []
    assert due(schedule, wait_s) == ["a"]


def test_jitter_spreads_endpoints_that_started_together() -> None:
    schedule = a_schedule(*(f"p{i}" for i in range(100)))
    due(schedule, 0.0)

    assert 30 < len(due(schedule, INTERVAL_S)) < 70


def test_an_overdue_schedule_waits_not_at_all_and_an_empty_one_for_ever() -> None:
    assert a_schedule("a").wait_s(99.0) == 0.0
    assert a_schedule().wait_s(0.0) is None


def test_an_endpoint_whose_check_still_runs_is_passed_over_and_comes_back() -> None:
    schedule = a_schedule("a")
    hanging = only(schedule.due(0.0))

    assert schedule.due(2 * INTERVAL_S) == []
    schedule.checked(hanging, healthy=False)

    assert only(schedule.due(4 * INTERVAL_S)) is hanging


def test_a_late_round_checks_each_endpoint_once_and_not_once_per_missed_interval() -> None:
    schedule = a_schedule("a")
    due(schedule, 0.0)

    assert due(schedule, 100 * INTERVAL_S) == ["a"]


def test_failures_in_a_row_decide_and_one_success_decides_back() -> None:
    schedule = a_schedule("a", failures=3)
    target = only(schedule.due(0.0))

    results = [
        schedule.checked(target, healthy) for healthy in (True, False, False, True, False, False, False, False, True)
    ]

    assert results == [True, None, None, True, None, None, False, False, True]


def test_an_endpoint_that_is_gone_is_neither_checked_nor_judged() -> None:
    schedule = a_schedule("a", "b", failures=1)
    a, _ = schedule.due(0.0)

    schedule.replace([an_endpoint("b")], now_s=1.0)

    assert schedule.checked(a, healthy=False) is None
    assert "a" not in [target.pod for target in schedule.due(5 * INTERVAL_S)]


def test_an_endpoint_that_stays_keeps_its_turn_and_its_failures() -> None:
    schedule = a_schedule("a")
    target = only(schedule.due(0.0))
    schedule.checked(target, healthy=False)

    schedule.replace([an_endpoint("a", labels={"new": "label"})], now_s=1.0)

    assert schedule.due(1.0) == []
    assert schedule.checked(target, healthy=False) is False


def test_an_endpoint_that_moved_is_checked_at_once_and_starts_over() -> None:
    schedule = a_schedule("a")
    before = only(schedule.due(0.0))

    schedule.replace([an_endpoint("a", address="10.9.9.9:1")], now_s=1.0)
    after = only(schedule.due(1.0))

    assert after.address == "10.9.9.9:1"
    assert schedule.checked(before, healthy=False) is None
    assert schedule.checked(after, healthy=False) is None  # the first of two


def test_an_endpoint_that_fails_is_asked_ever_more_rarely_up_to_a_bound() -> None:
    schedule, now_s, waits = a_schedule("a", doublings=2), 0.0, []
    for _ in range(5):
        (target,) = schedule.due(now_s)
        schedule.checked(target, healthy=False)
        waits.append(round((schedule.wait_s(now_s) or 0.0) / INTERVAL_S))
        now_s += schedule.wait_s(now_s) or 0.0

    assert waits == [1, 2, 4, 4, 4]


def test_a_stretched_schedule_asks_more_rarely_and_catches_up_within_one_interval() -> None:
    schedule = a_schedule(*(f"p{i}" for i in range(100)))
    schedule.stretch(4, 0.0)
    due(schedule, 0.0)

    assert due(schedule, 3 * INTERVAL_S) == []
    schedule.stretch(1, 3 * INTERVAL_S)
    caught_up = [due(schedule, 3 * INTERVAL_S + tenth * INTERVAL_S / 10) for tenth in range(1, 11)]

    assert len({pod for pods in caught_up for pod in pods}) == 100
    assert max(map(len, caught_up)) < 30  # spread, not all at once
    assert all(wait_s is not None and wait_s <= INTERVAL_S for wait_s in [schedule.wait_s(4 * INTERVAL_S)])


def test_each_endpoint_has_one_next_time_after_catching_up() -> None:
    schedule = a_schedule("a")
    schedule.stretch(4, 0.0)
    due(schedule, 0.0)
    schedule.stretch(1, 1.0)
    due(schedule, 1.0 + INTERVAL_S)

    asked = [at for at in range(12, 52) if due(schedule, float(at))]

    assert 3 <= len(asked) <= 5
