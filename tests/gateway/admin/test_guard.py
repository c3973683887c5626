"""The admin token."""

import pytest

from tests.support.admin import an_admin


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic s3cret", "s3cret", "Bearer s3cret2", "Bearer s3cre"],
)
@pytest.mark.parametrize("path", ["/users", "/metrics", "/readyz", "/openapi.json", "/nope"])
async def test_without_the_token_every_path_is_401(authorization, path):
    answer = await an_admin(token="s3cret").client.get(path, headers={"authorization": authorization})

    assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
    assert "the admin token is missing or wrong" == answer.json()["message"]


async def test_a_call_without_the_token_changes_nothing():
    admin = an_admin(token="s3cret")

    answer = await admin.call("/CreateUser", {"name": "u"})

    assert (401, {}) == (answer.status_code, admin.users.stored)


async def test_two_authorization_headers_are_refused():
    headers = [("authorization", "Bearer s3cret"), ("authorization", "Bearer s3cret")]

    assert 401 == (await an_admin(token="s3cret").client.get("/users", headers=headers)).status_code


@pytest.mark.parametrize("authorization", ["Bearer s3crét", "bearer s3crét", "Bearer  s3crét "])
async def test_the_token_opens_every_call(authorization):
    headers = {"authorization": authorization.encode()}

    assert 200 == (await an_admin(token="s3crét").client.get("/users", headers=headers)).status_code


async def test_health_needs_no_token():
    assert 200 == (await an_admin(token="s3cret").client.get("/healthz")).status_code


async def test_without_a_configured_token_none_is_required():
    assert 200 == (await an_admin().client.get("/users")).status_code
