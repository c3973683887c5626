"""Those who have limits, and what a charge asks for: what derives from the table of kinds by name, and bounds."""

from dataclasses import fields

from ratelimit.kinds import (
    MODEL_KINDS,
    USER,
    USER_FIELDS,
    Amounts,
)
from ratelimit.limits import Bounds, Policy, Rates, User, shown_limits


def test_users_and_rates_have_a_field_for_each_of_their_kinds():
    limits = {kind.field for kind in USER_FIELDS}
    assert limits == {each.name for each in fields(User)} - {"name", "models", "budgets", "reserve", "group"}
    assert limits == {each.name for each in fields(Policy)} - {"budgets"}
    assert [kind.field for kind in MODEL_KINDS] == list(Rates._fields)


def test_limits_of_the_original_are_always_shown_and_others_when_set():
    assert {"rpm": None, "tpm": 5} == shown_limits(User("u", tpm=5), USER_FIELDS)
    assert {"rpm": None, "tpm": None, "concurrency": 0} == shown_limits(User("u", concurrency=0), USER_FIELDS)


def test_a_share_of_a_user_is_a_share_of_every_limit():
    whole = User("u", rpm=10, concurrency=4, models={"m": Rates(2, 6)})

    half = whole.scaled(lambda limit: None if limit is None else limit // 2)

    assert User("u", rpm=5, concurrency=2, models={"m": Rates(1, 3)}) == half


def test_a_policy_without_budgets_has_no_periods():
    assert {} == Policy(rpm=1).periods(USER)
    assert [5, None, None, None] == list(Policy(budgets={"day": 5}).periods(USER).values())


def test_bounds_grant_tokens_at_the_price_of_an_answer():
    bounds = Bounds(Amounts(1, 10, 40), Amounts(1, 100, 85), token_cost=0.5)

    assert (Amounts(1, 11, 41), Amounts(1, 14, 42)) == (bounds.least, bounds.granting(14))
    assert bounds.most == bounds.granting(100) == bounds.granting(101)


def test_a_request_without_an_answer_needs_no_token_of_one():
    assert Amounts(1, 10) == Bounds(Amounts(1, 10), Amounts(1, 10)).least
