"""Records of users and policies: what is written is read again, and what cannot be is malformed."""

import json

import pytest

from ratelimit.accounts.records import policy_record, read_policy, read_user, user_record
from ratelimit.limits import Policy, Rates, User

BUDGETS = {"day": 5, "month": 2**53, "cost_day": 1, "cost_month": 1_500_000_000}


@pytest.mark.parametrize(
    "user",
    [
        User("u"),
        User("ü", 0, 2, 3, {"m": Rates(1, None)}),
        User("u", budgets=BUDGETS, reserve="maximum", group="team"),
        User("u", budgets={"cost_day": 9_007_199 * 10**9}, reserve="expected"),
    ],
)
def test_a_user_is_read_as_it_was_written(user: User):
    assert user == read_user(user.name, user_record(user, {}))


def test_fields_of_others_stay_and_ours_go_when_they_are_not_set():
    before = json.loads(user_record(User("u", budgets=BUDGETS, reserve="maximum", group="g"), {}))
    assert {"day": 5, "month": 2**53, "cost_day": 1e-09, "cost_month": 1.5} == before["budgets"]

    after = json.loads(user_record(User("u", 1), {**before, "note": "x"}))

    assert {"name": "u", "rpm": 1, "tpm": None, "note": "x"} == after


def test_a_policy_is_read_as_it_was_written():
    policy = Policy(1, None, 0, BUDGETS)

    record = policy_record(policy, name="team")

    assert "team" == json.loads(record)["name"]
    assert policy == read_policy(record)


@pytest.mark.parametrize(
    "fields",
    [
        {"budgets": []}, {"budgets": {"day": -1}}, {"budgets": {"day": 0.5}}, {"budgets": {"day": True}},
        {"budgets": {"cost_day": -0.1}}, {"budgets": {"cost_day": "1"}}, {"budgets": {"cost_month": 1e8}},
        {"budgets": {"cost_month": True}}, {"rpm": "1"},
    ],
)  # fmt: skip
def test_what_is_no_limit_makes_a_record_malformed(fields: dict[str, object]):
    assert [None, None] == [read_user("u", json.dumps(fields)), read_policy(json.dumps(fields))]


@pytest.mark.parametrize("fields", [{"reserve": "most"}, {"reserve": 1}, {"group": 1}])
def test_a_user_has_a_known_reserve_and_a_group_by_name(fields: dict[str, object]):
    assert None is read_user("u", json.dumps(fields))


def test_null_is_as_absent():
    assert User("u") == read_user("u", '{"budgets":null,"reserve":null,"group":null,"models":null}')
