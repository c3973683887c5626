"""The calls of AIBrix v0.2's users, as their article prints them, in every mode and both shapes of errors."""

import json
import shutil
from collections.abc import Mapping
from itertools import count

import orjson
import pytest
import redis

from tests.e2e.shared_stack.test_first_light import in_a_shell
from tests.support.raw_http import RawAnswer, exchange, request
from tests.support.stack import Stack, on

_numbers = count(1)
every_shape = on("http2-metadata", "http2-ext_proc", "compat-metadata", "compat-ext_proc")
compat = on("compat-metadata", "compat-ext_proc")

JSON = '-H "Content-Type: application/json"'
CALLS = (
    """curl {admin}/CreateUser {json} -d '{{"name": "{user}","rpm": 100,"tpm": 1000}}'""",
    """curl {admin}/CreateUser {json} -d '{{"name": "{user}","rpm": 100,"tpm": 1000}}'""",
    """curl {admin}/ReadUser {json} -d '{{"name": "{user}"}}'""",
    """curl {admin}/UpdateUser {json} -d '{{"name": "{other}","rpm": 3,"tpm": 1000}}'""",
    """curl {users}/v1/chat/completions -H "user: {user}" {json} -d '{{"model": "{model}","messages":"""
    """ [{{"role": "user", "content": "Say this is a test!"}}],"temperature": 0.7}}'""",
)


def names() -> tuple[str, str]:
    number = next(_numbers)
    return f"lgy-{number}", f"lgs-{number}"


@every_shape
@pytest.mark.skipif(not shutil.which("curl"), reason="the calls are printed for curl")
def test_the_five_calls_of_the_article_work_as_printed(stack: Stack):
    user, other = names()
    places = {"admin": stack.variables["ADMIN"], "users": stack.variables["GATEWAY"].removeprefix("http://")}

    created, again, read, updated, answer = (
        in_a_shell(call.format(**places, json=JSON, user=user, other=other, model=stack.model)) for call in CALLS
    )

    stored = {"name": user, "rpm": 100, "tpm": 1000}
    assert (200, {"message": f"Created User: {user}", "user": stored}) == (created.status, created.json)
    assert (200, {"message": f"User: {user} exists", "user": stored}) == (again.status, again.json)
    assert (200, {"message": f"User: {user}", "user": stored}) == (read.status, read.json)
    assert (404, f"User: {other} does not exist") == (updated.status, updated.json["message"])
    assert (200, stack.model) == (answer.status, answer.json["model"])
    assert ("1", "100") == (answer.headers["x-update-rpm"], answer.headers["x-ratelimit-limit-requests"])


def put(stack: Stack, user: str, record: Mapping[str, object]) -> None:
    with redis.Redis.from_url(stack.variables["REDIS_URL"]) as client:
        client.set(f"aibrix-users/{user}", json.dumps({"name": user, **record}))


def asked(stack: Stack, user: str) -> RawAnswer:
    body = orjson.dumps(stack.body(max_tokens=1))
    return exchange(stack.variables["GATEWAY"], request("/v1/chat/completions", body, b"user: " + user.encode()))


@compat
def test_errors_have_the_originals_shape_also_those_that_envoy_makes(stack: Stack):
    user = stack.user(rpm=1)
    asked(stack, user)

    over, unknown = asked(stack, user), asked(stack, "nobody")
    malformed = exchange(stack.variables["GATEWAY"], request("/v1/models%2Fx", b""), method="GET")

    assert {"error": {"code": 429, "message": f"user: {user} has exceeded RPM: 1"}} == over.json
    assert (500, {"error": {"code": 500, "message": "user: nobody does not exist"}}) == (unknown.status, unknown.json)
    assert 400 <= malformed.status < 500
    assert {"code", "message"} == malformed.json["error"].keys()
    assert malformed.status == malformed.json["error"]["code"]


@compat
@pytest.mark.parametrize(
    ("record", "limits"),
    [
        ({"rpm": 0, "tpm": 0}, ("100", "100000")),
        ({"rpm": 3, "tpm": 0}, ("3", "3000")),
        ({"rpm": 0, "tpm": 50_000}, ("100", "50000")),
        ({"rpm": 7, "tpm": 70_000}, ("7", "70000")),
    ],
)
def test_a_zero_that_the_original_stored_means_what_it_meant_there(
    stack: Stack, record: dict[str, int], limits: tuple[str, str]
):
    user, _ = names()
    put(stack, user, record)

    answer = asked(stack, user)
    used = stack.admin(f"/users/{user}/usage").json()
    stored = stack.admin("/ReadUser", name=user).json()["user"]

    assert (200, limits) == (
        answer.status,
        (answer.headers["x-ratelimit-limit-requests"], answer.headers["x-ratelimit-limit-tokens"]),
    )
    assert (1, limits) == (used["requests"], (str(used["rpm"]), str(used["tpm"])))
    assert {"name": user, **record} == stored


@compat
@pytest.mark.parametrize(
    "record",
    [{"rpm": 0}, {"rpm": 0, "tpm": None}, {"rpm": 0, "tpm": 0, "concurrency": 1}, {"rpm": 0, "tpm": 0, "models": {}}],
)
def test_a_zero_in_a_record_that_the_original_cannot_have_written_allows_nothing(
    stack: Stack, record: dict[str, object]
):
    user, _ = names()
    put(stack, user, record)

    assert (429, None) == (asked(stack, user).status, asked(stack, user).headers.get("retry-after"))


def test_a_zero_allows_nothing_without_compat(stack: Stack):
    user, _ = names()
    put(stack, user, {"rpm": 0, "tpm": 0})

    assert 429 == asked(stack, user).status
