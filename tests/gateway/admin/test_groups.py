"""The admin calls about groups, and users that name one."""

import pytest

from ratelimit.kinds import GROUP_BUDGETS, GROUP_KINDS
from ratelimit.limits import Quota, Usage
from tests.support.admin import an_admin

LIMITS = {"tpm": 1000, "concurrency": 5, "budgets": {"day": 10, "cost_month": 2.5}}


async def test_a_group_is_stored_replaced_read_listed_and_deleted():
    admin = an_admin()

    stored = await admin.client.put("/groups/team", json=LIMITS)
    await admin.client.put("/groups/other", json={})

    group = {"name": "team", **LIMITS}
    assert (200, {"message": "Stored Group: team", "group": group}) == (stored.status_code, stored.json())
    assert {"message": "Group: team", "group": group} == (await admin.client.get("/groups/team")).json()
    assert {"groups": [{"name": "other"}, group]} == (await admin.client.get("/groups")).json()
    assert {"groups": [{"name": "other"}], "next": "other"} == (await admin.client.get("/groups?limit=1")).json()
    assert "Deleted Group: team" == (await admin.client.delete("/groups/team")).json()["message"]
    for call in (admin.client.get, admin.client.delete):
        gone = await call("/groups/team")
        assert (404, "group_not_found") == (gone.status_code, gone.json()["error"]["code"])


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"tpm": -1}, "tpm"),
        ({"tpm": 1.5}, "tpm"),
        ({"budgets": {"day": 0.5}}, "budgets.day"),
        ({"budgets": {"month": 2**53 + 1}}, "budgets.month"),
        ({"budgets": {"cost_day": -0.1}}, "budgets.cost_day"),
        ({"budgets": {"cost_day": 1e-10}}, "budgets.cost_day"),
        ({"budgets": {"cost_month": 1e10}}, "budgets.cost_month"),
        ({"budgets": {"cost_month": "1"}}, "budgets.cost_month"),
        ({"budgets": {"cost_month": True}}, "budgets.cost_month"),
        ({"budgets": {"week": 1}}, "budgets.week"),
        ({"name": "x"}, "name"),
    ],
)
async def test_limits_that_cannot_be_are_422_that_names_the_field_and_change_nothing(limits, field):
    admin = an_admin()

    answer = await admin.client.put("/groups/team", json=limits)

    assert (422, field) == (answer.status_code, answer.json()["error"]["param"])
    assert {} == admin.groups.stored


async def test_a_name_that_users_cannot_have_is_none_for_groups():
    assert 422 == (await an_admin().client.put("/groups/a,b", json={})).status_code


async def test_a_user_names_a_group_that_exists_and_its_budgets_and_reserve_are_shown():
    admin = an_admin()
    unknown = await admin.call("/CreateUser", {"name": "lgy", "group": "team"})
    assert (422, "group") == (unknown.status_code, unknown.json()["error"]["param"])
    assert {} == admin.users.stored
    await admin.client.put("/groups/team", json=LIMITS)

    fields = {"name": "lgy", "group": "team", "reserve": "maximum", "budgets": {"day": 5, "cost_day": 0.25}}
    created = await admin.call("/CreateUser", fields)

    assert {**fields, "rpm": None, "tpm": None} == created.json()["user"]
    assert {"day": 5, "cost_day": 250_000_000} == admin.users.stored["lgy"].budgets
    assert 422 == (await admin.call("/UpdateUser", {"name": "lgy", "group": "nope"})).status_code
    assert 422 == (await admin.call("/UpdateUser", {"name": "lgy", "reserve": "most"})).status_code
    assert "team" == admin.users.stored["lgy"].group
    updated = await admin.call("/UpdateUser", {"name": "lgy", "rpm": 1})
    assert {"name": "lgy", "rpm": 1, "tpm": None} == updated.json()["user"]


async def test_usage_of_a_group_tells_what_is_left_of_its_budgets():
    admin = an_admin()
    (_, tpm), (day, cost, *_) = GROUP_KINDS, GROUP_BUDGETS
    quotas = {tpm: Quota(100, 40, 30.0), day: Quota(50, 60, 3600.5), cost: Quota(2_500_000_000, 1_000_000_000, 3600.5)}
    admin.limiter.used["team"] = Usage("team", quotas)

    usage = (await admin.client.get("/groups/team/usage")).json()

    assert {"name": "team", "tokens": 40, "tpm": 100, "window_s": 60} == {
        name: value for name, value in usage.items() if name != "budgets"
    }
    assert {
        "day": {"limit": 50, "used": 60, "remaining": 0, "reset_s": 3600.5},
        "cost_day": {"limit": 2.5, "used": 1.0, "remaining": 1.5, "reset_s": 3600.5},
    } == usage["budgets"]
    assert 404 == (await admin.client.get("/groups/none/usage")).status_code
