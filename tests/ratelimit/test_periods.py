"""Budgets by day and month: names, ends, what is kept."""

from datetime import UTC, datetime

import pytest

from ratelimit.kinds import USER, USER_BUDGETS, Amounts
from ratelimit.limits import Policy
from ratelimit.periods import DAY_S, Periods, day_slot, period_end_s, period_name

NOON = int(datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp())
DAY, _, MONTH, _ = USER_BUDGETS


def test_a_slot_is_in_a_day_and_a_month():
    assert ("2026-12-31", "2026-12") == (period_name("day", NOON), period_name("month", NOON))
    assert ("2027-01-01", "2027-01") == (period_name("day", NOON + DAY_S), period_name("month", NOON + DAY_S))
    assert NOON - DAY_S // 2 == day_slot(NOON)


@pytest.mark.parametrize("month", range(1, 13))
def test_a_month_ends_when_the_next_one_begins(month: int):
    inside = int(datetime(2024, month, 29, tzinfo=UTC).timestamp())

    end = datetime.fromtimestamp(period_end_s("month", inside), UTC)

    assert (month % 12 + 1, 1, 0) == (end.month, end.day, end.hour)


def test_only_the_present_and_the_last_period_are_kept():
    periods = Periods()
    for days in range(5):
        periods.take(NOON + days * DAY_S, Amounts(1, 10))

    periods.settle(NOON, Amounts(0, -5))
    periods.settle(NOON + 3 * DAY_S, Amounts(0, -5))

    assert [0, 5, 10] == [periods.used("day", NOON + days * DAY_S).tokens for days in (0, 3, 4)]
    assert (5, 35) == (periods.used("month", NOON).tokens, periods.used("month", NOON + DAY_S).tokens)


def test_nothing_falls_below_zero():
    periods = Periods()
    periods.take(NOON, Amounts(1, 10))
    periods.settle(NOON, Amounts(0, -15))

    assert 0 == periods.used("day", NOON).tokens


def test_budgets_in_the_way_are_told_with_the_time_until_their_period_ends():
    periods, limits = Periods(), Policy(budgets={"day": 10, "month": 10}).periods(USER)
    periods.take(NOON, Amounts(1, 10))

    found = periods.obstacles(limits, Amounts(1, 1), NOON, NOON + 0.5)

    assert [(DAY, DAY_S / 2 - 0.5), (MONTH, DAY_S / 2 - 0.5)] == [(each.kind, each.wait_s) for each in found]
    assert [None, None] == [each.wait_s for each in periods.obstacles(limits, Amounts(1, 11), NOON, NOON)]
