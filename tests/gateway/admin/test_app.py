"""The admin calls: statuses, messages and bodies of the contract."""

from typing import Any

import httpx
import pytest

from ratelimit.kinds import RPM, TPM, USER_BUDGETS, Amounts
from ratelimit.limits import Admitted, Charge, Quota, Refused, Reservation, Usage, User
from tests.support.admin import Admin, an_admin
from tests.support.limiters import a_charge

LGY = {"name": "lgy", "rpm": 3, "tpm": 1000}
CALLS = ("/CreateUser", "/ReadUser", "/UpdateUser", "/DeleteUser")


async def test_a_user_is_created_read_updated_and_deleted():
    admin = an_admin()

    created = await admin.call("/CreateUser", LGY)
    read = await admin.call("/ReadUser", {"name": "lgy"})
    updated = await admin.call("/UpdateUser", {**LGY, "rpm": 5})
    deleted = await admin.call("/DeleteUser", {"name": "lgy"})
    gone = await admin.call("/ReadUser", {"name": "lgy"})

    assert (200, {"message": "Created User: lgy", "user": LGY}) == (created.status_code, created.json())
    assert (200, {"message": "User: lgy", "user": LGY}) == (read.status_code, read.json())
    assert {"message": "Updated User: lgy", "user": {**LGY, "rpm": 5}} == updated.json()
    assert {"message": "Deleted User: lgy", "user": {**LGY, "rpm": 5}} == deleted.json()
    assert (404, "User: lgy does not exist") == (gone.status_code, gone.json()["message"])
    assert {} == admin.users.stored


async def test_creating_a_user_again_returns_the_stored_record_unchanged():
    admin = an_admin()
    await admin.call("/CreateUser", LGY)

    again = await admin.call("/CreateUser", {"name": "lgy", "rpm": 100})

    assert (200, {"message": "User: lgy exists", "user": LGY}) == (again.status_code, again.json())
    assert User("lgy", 3, 1000) == admin.users.stored["lgy"]


@pytest.mark.parametrize("path", ["/ReadUser", "/UpdateUser", "/DeleteUser"])
async def test_a_user_that_does_not_exist_is_404(path):
    answer = await an_admin().call(path, {"name": "nobody", "rpm": 1})

    message = "User: nobody does not exist"
    error = {"message": message, "type": "invalid_request_error", "code": "user_not_found", "param": "name"}
    assert (404, {"message": message, "error": error}) == (answer.status_code, answer.json())


@pytest.mark.parametrize(("body", "user"), [
    ({"name": "u"}, User("u", None, None)),
    ({"name": "u", "rpm": None, "tpm": 0}, User("u", None, 0)),
    ({"name": "u", "rpm": 2**53}, User("u", 2**53, None)),
])  # fmt: skip
async def test_an_absent_or_null_limit_is_unlimited_and_zero_is_zero(body, user):
    admin = an_admin()

    answer = await admin.call("/CreateUser", body)

    assert user == admin.users.stored["u"]
    assert {"name": "u", "rpm": user.rpm, "tpm": user.tpm} == answer.json()["user"]


async def test_an_update_replaces_both_limits():
    admin = an_admin()
    await admin.call("/CreateUser", LGY)

    await admin.call("/UpdateUser", {"name": "lgy", "tpm": 7})

    assert User("lgy", None, 7) == admin.users.stored["lgy"]


async def test_users_are_listed_by_name_even_when_other_programs_wrote_them():
    admin = an_admin()
    admin.users.stored = {"b": User("b", -1), "a\n": User("a\n", 1, 2)}

    answer = await admin.client.get("/users")

    assert {"users": [{"name": "a\n", "rpm": 1, "tpm": 2}, {"name": "b", "rpm": -1, "tpm": None}]} == answer.json()


async def test_a_record_that_another_program_wrote_can_be_read():
    admin = an_admin()
    admin.users.stored = {"b": User("b", -1)}

    answer = await admin.call("/ReadUser", {"name": "b"})

    assert (200, -1) == (answer.status_code, answer.json()["user"]["rpm"])


@pytest.mark.parametrize("name", ["lgy", "team/lgy", "ü ?"])
async def test_usage_has_what_was_used_and_the_limits(name):
    admin = an_admin()
    admin.limiter.used[name] = Usage(name, {RPM: Quota(3, 2, 60.0), TPM: Quota(None, 77, 60.0)})

    answer = await admin.client.get(httpx.URL("http://localhost").join(f"/users/{name.replace('?', '%3F')}/usage"))

    expected = {"name": name, "requests": 2, "tokens": 77, "rpm": 3, "tpm": None, "window_s": 60}
    assert (200, expected) == (answer.status_code, answer.json())


async def test_a_check_answers_with_the_verdict_of_the_limiter():
    admin = an_admin()
    quotas = {RPM: Quota(3, 3, 20.5), TPM: Quota(100, 40, 20.5)}
    admin.limiter.verdicts = {
        a_charge("lgy", 60): Admitted(Reservation("lgy", 1, Amounts(1, 60)), quotas),
        a_charge("lgy", 61, "m"): Refused(TPM, 100, 20.5, quotas),
    }

    fits = await admin.call("/users/lgy/check", {"tokens": 60})
    over = await admin.call("/users/lgy/check", {"tokens": 61, "model": "m"})
    nobody = await admin.call("/users/nobody/check", {"tokens": 1})
    bad = await admin.call("/users/lgy/check", {"tokens": -1})

    fields = {"kind": None, "limit": None, "retry_after_s": None, "estimated_tokens": 60}
    assert (200, {"admitted": True, **fields}) == (fits.status_code, fits.json())
    refused = {"admitted": False, "kind": "tpm", "limit": 100, "retry_after_s": 20.5, "estimated_tokens": 61}
    assert (200, refused) == (over.status_code, over.json())
    assert (404, 422) == (nobody.status_code, bad.status_code)


async def test_usage_of_an_unknown_user_is_404():
    answer = await an_admin().client.get("/users/nobody/usage")

    assert (404, "User: nobody does not exist") == (answer.status_code, answer.json()["message"])


@pytest.mark.parametrize("path", CALLS)
async def test_calls_answer_503_while_the_store_is_away(path):
    admin = an_admin()
    admin.users.away = True

    answer = await admin.call(path, {"name": "lgy"})

    assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
    assert "1000" == answer.headers["retry-after-ms"]
    assert "service_unavailable" == answer.json()["error"]["code"]


async def test_queries_answer_503_while_the_store_is_away():
    admin = an_admin()
    admin.users.away = admin.limiter.away = True

    assert 503 == (await admin.client.get("/users")).status_code
    assert 503 == (await admin.client.get("/users/lgy/usage")).status_code


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_the_four_calls_are_post_only(path, method):
    answer = await an_admin().client.request(method, path)

    assert (405, "POST") == (answer.status_code, answer.headers["allow"])
    assert "method_not_allowed" == answer.json()["error"]["code"]


async def test_an_unknown_path_is_404_in_the_same_shape():
    answer = await an_admin().client.get("/nope")

    assert (404, "not_found") == (answer.status_code, answer.json()["error"]["code"])


async def test_models_are_listed_in_the_shape_of_openai():
    answer = await an_admin(models=("b", "a")).client.get("/v1/models")

    assert ["a", "b"] == [model["id"] for model in answer.json()["data"]]
    assert {"object": "list"}.items() <= answer.json().items()
    assert {"id": "a", "object": "model", "created": 7, "owned_by": "forebay"} == answer.json()["data"][0]


async def test_health_readiness_and_metrics_are_served():
    admin = an_admin(not_ready=("no pods known",))

    assert 200 == (await admin.client.get("/healthz")).status_code
    assert 503 == (await admin.client.get("/readyz")).status_code
    assert b"a_metric 1\n" == (await admin.client.get("/metrics")).content


async def test_a_defect_is_a_500_without_details():
    admin = an_admin()
    admin.limiter.used = {"lgy": "not a usage"}  # type: ignore[dict-item]  # the defect

    answer = await admin.client.get("/users/lgy/usage")

    assert (500, "internal error") == (answer.status_code, answer.json()["message"])


async def test_openapi_describes_every_call_and_no_page_loads_other_hosts():
    document = await an_admin().client.get("/openapi.json")

    paths = document.json()["paths"]
    users = ("/users", "/users/{name}/usage", "/users/{name}/check", "/users/{name}/keys")
    assert {
        *CALLS,
        "/LoadAdapter",
        "/UnloadAdapter",
        "/adapters",
        "/CreateKey",
        "/RevokeKey",
        "/UpdateKey",
        "/users/{name}/keys/{key_id}/usage",
        "/groups",
        "/groups/{name}",
        "/groups/{name}/usage",
        *users,
        "/v1/models",
    } == set(paths)
    assert {"200", "400", "401", "403", "404", "413", "415", "422", "500", "503"} == set(
        paths["/CreateUser"]["post"]["responses"]
    )
    user = document.json()["components"]["schemas"]["UserBody"]["properties"]
    assert "unlimited" in user["rpm"]["description"]
    assert 404 == (await an_admin().client.get("/docs")).status_code


@pytest.mark.parametrize("token", ["", "s3cret"])
async def test_the_root_says_to_anybody_what_this_is(token):
    answer = await an_admin(token=token).client.get("/")

    assert 200 == answer.status_code
    assert answer.text.startswith("This is Forebay, an LLM inference gateway: the admin REST.\n")
    assert "POST /CreateUser" in answer.text


async def pages(admin: Admin, path: str, kind: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of a list, one after the other."""
    found, after = [], ""
    while True:
        answer = (await admin.client.get(path, params={"limit": limit, "after": after})).json()
        found.append(answer[kind])
        if "next" not in answer:
            return found
        after = answer["next"]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (1000, [5])])
async def test_users_and_keys_come_in_pages_each_once_and_in_order(limit: int, sizes: list[int]):
    admin = an_admin()
    names = ["a", "a,b", "b", "ü", "水"]
    admin.users.stored |= {name: User(name) for name in reversed(names)}
    for _ in range(5):
        await admin.call("/CreateKey", {"user": "ü"})

    users = await pages(admin, "/users", "users", limit)
    keys = await pages(admin, "/users/ü/keys", "keys", limit)

    assert (sizes, names) == ([len(page) for page in users], [user["name"] for page in users for user in page])
    assert (sizes, 5) == ([len(page) for page in keys], len({key["id"] for page in keys for key in page}))


async def test_the_page_after_a_key_that_is_no_longer_there_is_not_the_first_again():
    admin = an_admin()
    admin.users.stored["u"] = User("u")
    await admin.call("/CreateKey", {"user": "u"})

    answer = await admin.client.get("/users/u/keys", params={"after": "gone"})

    assert (404, "after") == (answer.status_code, answer.json()["error"]["param"])


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1.5", ""])
@pytest.mark.parametrize("path", ["/users", "/users/u/keys"])
async def test_a_page_has_1_to_1000_items(path: str, limit: str):
    answer = await an_admin().client.get(path, params={"limit": limit})

    assert (422, "limit") == (answer.status_code, answer.json()["error"]["param"])


@pytest.mark.parametrize(("token", "security"), [("", []), ("s3cret", [{"adminToken": []}])])
async def test_the_schema_says_how_the_token_is_sent_and_which_errors_there_are(token: str, security: list[object]):
    headers = {"authorization": f"Bearer {token}"}
    schema = (await an_admin(token).client.get("/openapi.json", headers=headers)).json()

    assert {"adminToken": {"type": "http", "scheme": "bearer"}} == schema["components"]["securitySchemes"]
    assert security == schema["security"]
    for path in schema["paths"].values():
        for call in path.values():
            assert {"401", "403", "422", "503"} <= call["responses"].keys()


@pytest.mark.parametrize("path", ["/users", "/users/lgy/keys"])
@pytest.mark.parametrize("query", ["after=%FF", "after=a%C3", "limits=3", "limit=3&Limit=3", "=x", "after=a&x"])
async def test_a_query_with_an_unknown_name_or_bytes_that_are_no_text_is_400(path: str, query: str):
    admin = an_admin()
    await admin.call("/CreateUser", LGY)

    answer = await admin.client.get(f"{path}?{query}")

    assert (400, "invalid_query") == (answer.status_code, answer.json()["error"]["code"])


async def test_the_answer_to_an_unknown_name_in_a_query_names_it_and_the_known_ones():
    error = (await an_admin().client.get("/users?offset=3")).json()["error"]
    assert ("offset is unknown in the query, known names: after, limit", "offset") == (error["message"], error["param"])


async def test_a_check_that_a_budget_in_money_refuses_tells_it_in_the_currencys_unit():
    admin = an_admin()
    charge = Charge("lgy", Amounts(1, 5, 1_250_000_000))
    admin.limiter.verdicts[charge] = Refused(USER_BUDGETS[1], 2_500_000_000, 3600.5, {})

    answer = (await admin.client.post("/users/lgy/check", json={"tokens": 5, "cost": 1.25})).json()

    assert (False, "budget_cost_day", 2.5, 3600.5) == tuple(
        answer[name] for name in ("admitted", "kind", "limit", "retry_after_s")
    )
