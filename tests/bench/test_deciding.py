"""The simulated day of decisions."""

import pytest

from bench.deciding import BEFORE, HEADER, POLICIES, DaySample, a_day, measure_day, rows
from bench.deciding import _Fleet as Fleet


def test_a_day_is_the_same_for_all_policies_and_never_without_traffic():
    days = [list(a_day(1, 0.1)) for _ in range(2)]

    assert days[0] == days[1]
    assert 12 == len(days[0])
    assert all(tick.demand.rate > 0 and sum(tick.demand.shares.values()) == pytest.approx(1.0) for tick in days[0])


def test_replicas_start_late_and_those_that_start_stop_first():
    fleet = Fleet()
    fleet.follow({"a": 3}, 0.0)
    assert [0, 3] == [fleet.ready("a", 60.0), fleet.ready("a", 120.0)]

    fleet.follow({"a": 5}, 200.0)
    fleet.follow({"a": 4}, 210.0)
    assert (3, 4, 6) == (fleet.ready("a", 220.0), fleet.ready("a", 320.0), fleet.changes)

    fleet.follow({"a": 1}, 230.0)
    assert 1 == fleet.ready("a", 230.0)


def test_holding_replicas_changes_fewer():
    ticks = list(a_day(3, 1.0))

    eager, steady = (
        measure_day(name, policy, ticks)
        for name, policy in (("eager", BEFORE), ("steady", POLICIES["and regrets count"]))
    )

    assert steady.changes < eager.changes
    assert steady.unserved <= eager.unserved


def test_the_first_policy_costs_100():
    table = list(rows([DaySample("a", 10, 0.5, 0.01, 50.0), DaySample("b", 5, 0.0, 0.0, 60.0)]))

    assert [("a", "100.0", "10", "50.0%", "1.000%"), ("b", "120.0", "5", "0.0%", "0.000%")] == table
    assert len(HEADER) == len(table[0])
