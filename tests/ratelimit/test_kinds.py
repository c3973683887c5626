"""The table of limit kinds: names, messages, headers, and the amounts that it counts."""

import pytest

from ratelimit.kinds import (
    CONCURRENCY,
    GROUP_BUDGETS,
    GROUP_KINDS,
    KEY_KINDS,
    LEVEL_KINDS,
    LIMIT_KINDS,
    MODEL_KINDS,
    MODEL_TPM,
    NANO,
    RPM,
    RPS,
    TPM,
    UNITS,
    USER_BUDGETS,
    USER_KINDS,
    WINDOW_UNITS,
    Amounts,
    LimitKind,
)


def test_every_kind_in_a_window_counts_a_unit_and_no_window_counts_one_twice():
    for kinds in (USER_KINDS, MODEL_KINDS, KEY_KINDS, GROUP_KINDS):
        units = [kind.unit for kind in kinds]
        assert len(set(units)) == len(units)
        assert set(units) <= set(WINDOW_UNITS) < set(UNITS)


def test_names_tell_kinds_apart():
    names = ["rpm", "tpm", "model_rpm", "model_tpm", "rps", "concurrency"]

    assert names == [kind.name for kind in LIMIT_KINDS if kind.name in names]
    assert len(LIMIT_KINDS) == len({kind.name for kind in LIMIT_KINDS})


@pytest.mark.parametrize(
    ("kind", "header", "message"),
    [
        (RPM, "x-error-rpm-exceeded", "user: u has exceeded RPM: 3"),
        (MODEL_TPM, "x-error-tpm-exceeded", "user: u has exceeded TPM for model m: 3"),
        (RPS, "x-error-rps-exceeded", "model: m has exceeded RPS: 3"),
        (CONCURRENCY, "x-error-concurrency-exceeded", "user: u has exceeded CONCURRENCY: 3"),
        (KEY_KINDS[0], "x-error-rpm-exceeded", "the API key of user: u has exceeded RPM: 3"),
        (GROUP_BUDGETS[0], "x-error-budget-exceeded", "the group of user: u has exceeded DAY BUDGET: 3"),
    ],
)
def test_a_client_is_told_which_limit_it_exceeded(kind: LimitKind, header: str, message: str):
    assert (header, message) == (kind.error_header, kind.message("u", "m", 3))


def test_money_is_told_in_the_unit_of_the_currency():
    cost_month = USER_BUDGETS[3]

    assert "user: u has exceeded COST_MONTH BUDGET: 2.5" == cost_month.message("u", "m", 5 * NANO // 2)


def test_every_level_has_the_same_limits_and_budgets():
    fields = [
        [kind.field for kind in (*window, *budgets, running)] for window, budgets, running in LEVEL_KINDS.values()
    ]

    assert [["rpm", "tpm", "day", "cost_day", "month", "cost_month", "concurrency"]] * 3 == fields


def test_amounts_are_added_by_unit():
    assert Amounts(3, 12, 9) == Amounts(1, 5, 4).plus(Amounts(2, 7, 5))
    assert Amounts(-1, -2, -1) == Amounts(1, 5, 4).minus(Amounts(2, 7, 5))
    assert (2, 7) == (RPM.of(Amounts(2, 7)), TPM.of(Amounts(2, 7)))
