"""Arguments and replies of the scripts; tests/contract runs them on a real Redis."""

import pytest

from ratelimit.kinds import GROUP, GROUP_BUDGETS, GROUP_KINDS, KEY, USER_BUDGETS, Amounts
from ratelimit.limits import MAX_LIMIT, Admitted, Bounds, Charge, MalformedUserError, Refused, UnknownUser
from ratelimit.redis.messages import corrections, read_verdict, reserve_arguments

CHARGE = Charge("u", Amounts(1, 50), "m")
BOUNDS = Bounds(Amounts(1, 10, 3), Amounts(1, 100), 0.5)


def test_a_common_charge_sends_only_what_windows_count():
    assert [1, 50, 1, 50] == reserve_arguments(CHARGE, None, "")
    assert [1, 50, 1, 7] == reserve_arguments(CHARGE._replace(certain=Amounts(1, 7), bounds=BOUNDS), None, "")
    assert [1, MAX_LIMIT, 1, 7] == reserve_arguments(Charge("u", Amounts(1, 2**60), certain=Amounts(1, 7)), None, "")


def test_bounds_are_sent_where_limits_are_hard():
    hard = CHARGE._replace(bounds=BOUNDS, reserve="maximum", key="k")

    assert [1, 100, 1, 10, "k", "maximum", "maximum", 48, 3, "0.5", "g"] == reserve_arguments(hard, None, "g")
    assert [1, 50, 1, 50, "k", "expected", "maximum", 0, 0, "0.5", ""] == reserve_arguments(hard, "expected", "")


def test_a_charge_without_bounds_says_that_it_has_none():
    assert [1, 50, 1, 50, "", "any", "expected", 0, 0, "0", ""] == reserve_arguments(CHARGE, "maximum", "")


def test_a_group_by_itself_is_read_as_a_level_of_its_own():
    shown = [9, 1, 2_000_000, -1, 50, 0] + [100, 50, 3_000_000] * 4

    verdict = read_verdict(CHARGE, [1, 0, 5, 8, 77, 1, 50, 0, *shown], taken=True, scope=GROUP)
    refused = read_verdict(CHARGE, [0, 0, -1, 0, 77, 1, 50, 0, *shown[:6], b"tpm", 9, -1], taken=True, scope=GROUP)

    assert isinstance(verdict, Admitted)
    assert ((GROUP,), (GROUP,)) == (verdict.reservation.permits, verdict.reservation.budgets)
    assert {*GROUP_KINDS, *GROUP_BUDGETS} == set(verdict.quotas)
    assert isinstance(refused, Refused)
    assert (GROUP_KINDS[1], None) == (refused.kind, refused.retry_after_s)


def test_levels_are_told_by_bits():
    shown = [-1, 1, 0] * 6 + [5, 1, 1] * 4
    reply = [1, 0, -1, 2 + 4 + 8 + 64, 77, 1, 50, 2, *shown, "gruppe-ä".encode()]

    verdict = read_verdict(CHARGE._replace(key="k"), reply, taken=True, is_hard=True)

    assert isinstance(verdict, Admitted)
    reservation = verdict.reservation
    assert ("", "k", "gruppe-ä", 77, True) == (
        reservation.model, reservation.key, reservation.group, reservation.group_slot, reservation.is_hard
    )  # fmt: skip
    assert (KEY,) == reservation.permits
    assert Amounts(1, 50, 2) == reservation.amounts
    assert 5 == verdict.quotas[USER_BUDGETS[0]].limit


def test_who_is_unknown_and_what_is_malformed_is_said():
    assert UnknownUser("u") == read_verdict(CHARGE, [2], taken=True)
    with pytest.raises(MalformedUserError):
        read_verdict(CHARGE, [3], taken=True)


def test_only_requests_that_change_anything_are_sent():
    changes = {"a": Amounts(0, 0), "b": Amounts(0, -5, -(2**60))}

    assert [7, 1, "b", 0, -5, -MAX_LIMIT] == corrections(7, 1, changes)
