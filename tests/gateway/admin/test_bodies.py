"""Request bodies of the admin REST: which are refused, and with which error."""

from collections.abc import AsyncIterator

import pytest

from gateway.admin.bodies import MAX_BODY_BYTES
from ratelimit.kinds import USER_FIELDS
from ratelimit.limits import User
from tests.support.admin import an_admin

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "u", "rpm": -1}, "rpm"),
        ({"name": "u", "tpm": 1.0}, "tpm"),
        ({"name": "u", "tpm": 1.5}, "tpm"),
        ({"name": "u", "rpm": "3"}, "rpm"),
        ({"name": "u", "rpm": True}, "rpm"),
        ({"name": "u", "rpm": []}, "rpm"),
        ({"name": "u", "rpm": 2**53 + 1}, "rpm"),
        ({"name": "u", "rpm": 10**30}, "rpm"),
        ({"name": "u", "concurrency": -1}, "concurrency"),
        ({"name": "u", "models": []}, "models"),
        ({"name": "u", "models": {"m": 5}}, "models.m"),
        ({"name": "u", "models": {"m": {"rpm": 1.5}}}, "models.m.rpm"),
        ({"name": "u", "models": {"m": {"rps": 1}}}, "models.m.rps"),
        ({"name": "u", "models": {"": {}}}, "models..[key]"),
        ({"name": ""}, "name"),
        ({"name": "ü" * 129}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "a\x85"}, "name"),
        ({"name": " u"}, "name"),
        ({"name": "u "}, "name"),
        ({"name": "a,b"}, "name"),
        ({"name": "a\u200bb"}, "name"),
        ({"name": "\u202eu"}, "name"),
        ({"name": 5}, "name"),
        ({"name": None}, "name"),
        ({"rpm": 1}, "name"),
        ({"name": "u", "rmp": 1}, "rmp"),
        ([], None),
        ("lgy", None),
        (None, None),
    ],
)
async def test_invalid_values_are_422_and_name_the_field(body, param):
    admin = an_admin()

    answer = await admin.call("/CreateUser", body)

    assert (422, param) == (answer.status_code, answer.json()["error"]["param"])
    assert (param or "the body") in answer.json()["message"]
    assert {} == admin.users.stored


async def test_every_problem_is_named_as_key_value_rule():
    answer = await an_admin().call("/CreateUser", {"name": "", "rpm": -1, "rmp": 2})

    assert (
        "name = '', must be 1 to 256 bytes of UTF-8; rpm = -1, must be greater than or equal to 0; "
        f"rmp is unknown, known fields: name, {', '.join(kind.field for kind in USER_FIELDS)}, "
        "models, budgets, reserve, group"
    ) == answer.json()["message"]


async def test_concurrency_and_limits_for_models_are_shown_only_when_set():
    admin = an_admin()
    body = {"name": "u", "rpm": 1, "tpm": None, "concurrency": 2, "models": {"m": {"rpm": 3, "tpm": None}}}

    created = (await admin.call("/CreateUser", body)).json()["user"]
    plain = (await admin.call("/UpdateUser", {"name": "u", "rpm": 1})).json()["user"]

    assert body == created
    assert {"name": "u", "rpm": 1, "tpm": None} == plain
    assert {"users": [plain]} == (await admin.client.get("/users")).json()


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "李 雷", "a/b", "{user}"])
async def test_any_text_of_up_to_256_bytes_is_a_name(name):
    admin = an_admin()

    answer = await admin.call("/CreateUser", {"name": name})

    assert (200, [name]) == (answer.status_code, list(admin.users.stored))


@pytest.mark.parametrize(
    "content", [b"{", b"nope", b'{"name": NaN}', b"\xff", b'{"name":"\\ud800"}', b"[" * 100_000, b'{"name":"u"} x']
)
async def test_a_body_that_is_not_json_is_400(content):
    answer = await an_admin().client.post("/CreateUser", content=content, headers=JSON)

    assert (400, "invalid_json") == (answer.status_code, answer.json()["error"]["code"])


async def test_a_missing_body_is_422():
    answer = await an_admin().client.post("/CreateUser", headers=JSON)

    assert (422, "the body is missing") == (answer.status_code, answer.json()["message"])


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_another_content_type_is_415(media_type):
    headers = {"content-type": media_type}

    answer = await an_admin().client.post("/CreateUser", content=b'{"name":"u"}', headers=headers)

    assert (415, "unsupported_media_type") == (answer.status_code, answer.json()["error"]["code"])


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_the_content_type_of_json_may_have_a_charset(media_type):
    headers = {"content-type": media_type}

    answer = await an_admin().client.post("/CreateUser", content=b'{"name":"u"}', headers=headers)

    assert 200 == answer.status_code


async def test_a_body_with_too_large_a_content_length_is_refused_unread():
    read = []

    async def pieces() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    headers = {**JSON, "content-length": str(MAX_BODY_BYTES + 1)}
    answer = await an_admin().client.post("/CreateUser", content=pieces(), headers=headers)

    assert (413, []) == (answer.status_code, read)


async def test_an_endless_body_is_refused_at_the_limit():
    read = []

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield b" " * 1024

    answer = await an_admin().client.post("/CreateUser", content=pieces(), headers=JSON)

    assert (413, "request_too_large") == (answer.status_code, answer.json()["error"]["code"])
    assert MAX_BODY_BYTES // 1024 + 1 == len(read)


async def test_a_body_of_exactly_the_limit_is_read():
    body = b'{"name":"u"}'

    answer = await an_admin().client.post("/CreateUser", content=body.ljust(MAX_BODY_BYTES), headers=JSON)

    assert 200 == answer.status_code


@pytest.mark.parametrize("name", [" u", "a,b", "a\u200bb"])
async def test_a_user_whose_name_is_no_longer_allowed_can_still_be_read_changed_and_deleted(name: str):
    admin = an_admin()
    admin.users.stored[name] = User(name, 1)

    answers = [await admin.call(path, {"name": name, "rpm": 2}) for path in ("/ReadUser", "/UpdateUser", "/DeleteUser")]

    assert [200, 200, 200] == [answer.status_code for answer in answers]
    assert {} == admin.users.stored
