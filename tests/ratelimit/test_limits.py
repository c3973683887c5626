"""The table of limit kinds, and what derives from it by name."""

from dataclasses import fields

import pytest

from ratelimit.limits import (
    CONCURRENCY,
    LIMIT_KINDS,
    MODEL_KINDS,
    MODEL_TPM,
    RPM,
    RPS,
    TPM,
    UNITS,
    USER_FIELDS,
    USER_KINDS,
    Amounts,
    LimitKind,
    Rates,
    User,
    shown_limits,
)


def test_users_and_rates_have_a_field_for_each_of_their_kinds():
    assert {kind.field for kind in USER_FIELDS} == {each.name for each in fields(User)} - {"name", "models"}
    assert [kind.field for kind in MODEL_KINDS] == list(Rates._fields)


def test_every_kind_in_a_window_counts_a_unit_and_no_window_counts_one_twice():
    for kinds in (USER_KINDS, MODEL_KINDS):
        units = [kind.unit for kind in kinds]
        assert len(set(units)) == len(units)
        assert set(units) <= set(UNITS)


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
    ],
)
def test_a_client_is_told_which_limit_it_exceeded(kind: LimitKind, header: str, message: str):
    assert (header, message) == (kind.error_header, kind.message("u", "m", 3))


def test_amounts_are_added_by_unit():
    assert Amounts(3, 12) == Amounts(1, 5).plus(Amounts(2, 7))
    assert Amounts(-1, -2) == Amounts(1, 5).minus(Amounts(2, 7))
    assert (2, 7) == (RPM.of(Amounts(2, 7)), TPM.of(Amounts(2, 7)))


def test_limits_of_the_original_are_always_shown_and_others_when_set():
    assert {"rpm": None, "tpm": 5} == shown_limits(User("u", tpm=5), USER_FIELDS)
    assert {"rpm": None, "tpm": None, "concurrency": 0} == shown_limits(User("u", concurrency=0), USER_FIELDS)


def test_a_share_of_a_user_is_a_share_of_every_limit():
    whole = User("u", rpm=10, concurrency=4, models={"m": Rates(2, 6)})

    half = whole.scaled(lambda limit: None if limit is None else limit // 2)

    assert User("u", rpm=5, concurrency=2, models={"m": Rates(1, 3)}) == half
