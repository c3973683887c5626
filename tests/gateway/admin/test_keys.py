"""The admin calls about keys: statuses, messages and bodies."""

from typing import Any

import httpx
import pytest

from tests.support.admin import Admin, an_admin

CALLS = (("/CreateKey", {"user": "lgy"}), ("/RevokeKey", {"user": "lgy", "id": "id1"}))


async def a_user(name: str = "lgy") -> Admin:
    admin = an_admin()
    await admin.call("/CreateUser", {"name": name})
    return admin


async def test_a_key_is_made_listed_and_revoked():
    admin = await a_user()

    created = await admin.call("/CreateKey", {"user": "lgy", "name": "laptop"})
    listed = await admin.client.get("/users/lgy/keys")
    revoked = await admin.call("/RevokeKey", {"user": "lgy", "id": "id1"})
    again = await admin.call("/RevokeKey", {"user": "lgy", "id": "id1"})

    record = {"id": "id1", "user": "lgy", "name": "laptop", "created": 1001, "last4": "last"}
    expected = {"message": "Created Key: id1", "key": record, "secret": "secret-1"}
    assert (200, expected) == (created.status_code, created.json())
    assert (200, {"keys": [record]}) == (listed.status_code, listed.json())
    assert (200, {"message": "Revoked Key: id1", "key": record}) == (revoked.status_code, revoked.json())
    assert (404, "Key: id1 does not exist") == (again.status_code, again.json()["message"])
    assert ("key_not_found", "id") == (again.json()["error"]["code"], again.json()["error"]["param"])
    assert {"keys": []} == (await admin.client.get("/users/lgy/keys")).json()


async def test_a_key_of_another_user_is_not_revoked():
    admin = await a_user()
    await admin.call("/CreateKey", {"user": "lgy"})

    assert 404 == (await admin.call("/RevokeKey", {"user": "other", "id": "id1"})).status_code


@pytest.mark.parametrize("name", ["team/lgy", "ü ?"])
async def test_keys_of_users_with_odd_names_are_listed(name: str):
    admin = await a_user(name)
    await admin.call("/CreateKey", {"user": name})

    listed = await admin.client.get(httpx.URL("http://localhost").join(f"/users/{name.replace('?', '%3F')}/keys"))

    assert [name] == [key["user"] for key in listed.json()["keys"]]


async def test_keys_of_an_unknown_user_are_404():
    admin = an_admin()

    created, listed = await admin.call("/CreateKey", {"user": "nobody"}), await admin.client.get("/users/nobody/keys")

    for answer in (created, listed):
        assert (404, "User: nobody does not exist") == (answer.status_code, answer.json()["message"])
    assert {} == admin.keys.made


async def test_deleting_a_user_again_revokes_keys_that_a_failed_call_left():
    admin = await a_user()
    await admin.call("/CreateKey", {"user": "lgy"})
    admin.keys.away = True
    assert 503 == (await admin.call("/DeleteUser", {"name": "lgy"})).status_code
    admin.keys.away = False

    assert 404 == (await admin.call("/DeleteUser", {"name": "lgy"})).status_code

    assert {} == admin.keys.made


async def test_a_key_made_while_its_user_is_deleted_does_not_outlive_it():
    admin = await a_user()
    create = admin.keys.create

    async def slowly(*key: Any):
        made = await create(*key)
        await admin.users.delete(key[0])
        return made

    admin.keys.create = slowly  # type: ignore[method-assign]  # the race

    assert 404 == (await admin.call("/CreateKey", {"user": "lgy"})).status_code
    assert {} == admin.keys.made


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/CreateKey", {}, "user is missing"),
        ("/CreateKey", {"user": "lgy", "name": "a\n"}, "must not contain control, bidi or zero-width characters"),
        (
            "/CreateKey",
            {"user": "lgy", "rmp": 1},
            "rmp is unknown, known fields: rpm, tpm, concurrency, budgets, user, name",
        ),
        ("/RevokeKey", {"user": "lgy", "id": 1}, "id = 1"),
        ("/RevokeKey", {"user": "lgy"}, "id is missing"),
    ],
)
async def test_invalid_bodies_are_422(path: str, body: object, says: str):
    answer = await (await a_user()).call(path, body)

    assert 422 == answer.status_code
    assert says in answer.json()["message"]


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_calls_answer_503_while_the_store_is_away(path: str, body: object):
    admin = await a_user()
    admin.keys.away = True

    assert (503, 503) == (
        (await admin.call(path, body)).status_code,
        (await admin.client.get("/users/lgy/keys")).status_code,
    )


@pytest.mark.parametrize(("path", "_body"), CALLS)
async def test_calls_are_post_and_json_only(path: str, _body: object):
    admin = await a_user()

    assert 405 == (await admin.client.get(path)).status_code
    assert 415 == (await admin.client.post(path, content=b"{}")).status_code


async def test_a_keys_terms_are_shown_and_replaced():
    admin = an_admin(models=("a", "b"))
    await admin.call("/CreateUser", {"name": "lgy"})

    limits = {"rpm": 3, "budgets": {"day": 100, "cost_month": 0.5}}
    terms = {"expires_at": "2990-01-31T12:00:00.9+02:00", "models": ["b", "b", "a"], **limits}
    created = (await admin.call("/CreateKey", {"user": "lgy", **terms})).json()["key"]
    changed = await admin.call("/UpdateKey", {"user": "lgy", "id": "id1", "name": "desk", "models": ["a"]})

    assert ("2990-01-31T10:00:00Z", ["b", "a"]) == (created["expires_at"], created["models"])
    assert limits == {name: created[name] for name in limits}
    expected = {"id": "id1", "user": "lgy", "name": "desk", "created": 1001, "last4": "last", "models": ["a"]}
    assert {"message": "Updated Key: id1", "key": expected} == changed.json()
    assert {"keys": [expected]} == (await admin.client.get("/users/lgy/keys")).json()
    assert 404 == (await admin.call("/UpdateKey", {"user": "lgy", "id": "id2"})).status_code


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"expires_at": "2990-01-31T12:00:00"}, "expires_at"),
        ({"expires_at": "2990-01-31"}, "expires_at"),
        ({"expires_at": "2990-01-31T12:00:00 Mars/Olympus"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-05:00"}, "expires_at"),
        ({"expires_at": "2020-01-31T12:00:00Z"}, "expires_at"),
        ({"expires_at": 32_000_000_000}, "expires_at"),
        ({"expires_at": "32000000000"}, "expires_at"),
        ({"models": []}, "models"),
        ({"models": "a"}, "models"),
        ({"models": ["a", "nope"]}, "models[1]"),
        ({"models": [1]}, "models[0]"),
        ({"rpm": -1}, "rpm"),
        ({"budgets": {"day": 1.5}}, "budgets.day"),
    ],
)
async def test_terms_that_cannot_be_are_422_that_names_the_field_and_change_nothing(terms, field):
    admin = an_admin(models=("a",))
    await admin.call("/CreateUser", {"name": "lgy"})
    await admin.call("/CreateKey", {"user": "lgy"})
    before = dict(admin.keys.made)

    made = await admin.call("/CreateKey", {"user": "lgy", **terms})
    changed = await admin.call("/UpdateKey", {"user": "lgy", "id": "id1", **terms})

    assert [(422, field)] * 2 == [(each.status_code, each.json()["error"]["param"]) for each in (made, changed)]
    assert before == admin.keys.made
