"""API keys through real Envoy: who they make a user, what the engine sees, how soon a revocation binds."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import orjson
import pytest

from tests.support.own_engine import OwnEngine
from tests.support.raw_http import exchange, request
from tests.support.stack import PROMPT, Stack, on
from tests.support.waiting import until

once = on("keys-metadata")
where_headers_differ = on("keys-metadata", "keys-full_duplex")

REVOKED_S = 1.0
"""The longest time until a revocation binds, in seconds, as docs/operations.md promises."""


def new_key(stack: Stack, user: str) -> tuple[str, str]:
    """A key and its id."""
    made = stack.admin("/CreateKey", user=user, name="test").json()
    return made["secret"], made["key"]["id"]


def ask(stack: Stack, key: str | None, path: str = "/v1/chat/completions", **changes: Any) -> httpx.Response:
    """A POST to what engines answer, a GET to what the gateway does."""
    headers = {"user": "root"} if key is None else {"user": "root", "authorization": f"Bearer {key}"}
    if path in {"/v1/models", "/v1/usage"}:
        return stack.users.get(path, headers=headers)
    return stack.users.post(path, json=stack.body(**changes), headers=headers)


@where_headers_differ
def test_the_holder_of_the_key_is_charged_and_the_engine_sees_neither_key_nor_claim(stack: Stack, own: OwnEngine):
    user = stack.user()
    key, _ = new_key(stack, user)

    answers = [ask(stack, key, model="own", stream=stream) for stream in (False, True)]

    shown = [(answer.status_code, answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    assert [(200, "999"), (200, "998")] == shown
    for received in own.received:
        assert {"authorization", "user"}.isdisjoint(received.headers)
        assert key not in str(received)
    stack.uses(user, 2, 24)


@once
@pytest.mark.parametrize("nominated", [b"", b"authorization", b"close, Authorization"])
def test_a_request_without_a_key_is_refused_also_when_it_takes_the_key_off_itself(stack: Stack, nominated: bytes):
    key, _ = new_key(stack, stack.user())
    headers = [b"authorization: Bearer " + key.encode(), b"connection: " + nominated] if nominated else []
    body = orjson.dumps(stack.body())

    answer = exchange(stack.variables["GATEWAY"], request("/v1/chat/completions", body, *headers))

    assert (401, "invalid_api_key") == (answer.status, answer.json["error"]["code"])


@on("keys-full_duplex")
def test_requests_without_a_key_are_served_without_limits_and_claimed_user_where_that_is_allowed(
    stack: Stack, own: OwnEngine
):
    answer = ask(stack, None, model="own")

    assert (200, None) == (answer.status_code, answer.headers.get("x-ratelimit-limit-requests"))
    assert "user" not in own.only.headers


@once
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/usage"])
@pytest.mark.parametrize("key", [b"none", b"fby-" + b"x" * 43, b"a b", b"\xc3\xa9", b"\xff"])
def test_a_bad_key_is_401_everywhere(stack: Stack, path: str, key: bytes):
    method = "POST" if "chat" in path else "GET"
    body = stack.body() if method == "POST" else None

    answer = stack.users.request(method, path, json=body, headers=[(b"authorization", b"Bearer " + key)])

    error = answer.json()["error"]
    assert (401, "invalid_api_key", "authentication_error") == (answer.status_code, error["code"], error["type"])
    assert "Bearer" == answer.headers["www-authenticate"]


@once
def test_a_revoked_key_is_refused_within_a_second_and_the_users_other_key_goes_on(stack: Stack):
    user = stack.user()
    (first, first_id), (second, _) = new_key(stack, user), new_key(stack, user)
    assert [200, 200] == [ask(stack, key, max_tokens=1).status_code for key in (first, second)]

    assert 200 == stack.admin("/RevokeKey", user=user, id=first_id).status_code
    revoked_s = time.monotonic()
    until(lambda: ask(stack, first, "/v1/models").status_code == 401, limit_s=10)

    # Loose, because the machine of a test run stalls; what is certain is that it does not last.
    assert time.monotonic() - revoked_s < 5 * REVOKED_S
    assert [401, 200] == [ask(stack, key, max_tokens=1).status_code for key in (first, second)]
    assert [second[-4:]] == [key["last4"] for key in stack.admin(f"/users/{user}/keys").json()["keys"]]


@once
def test_the_keys_of_a_deleted_user_are_dead_also_when_one_of_the_name_comes_back(stack: Stack):
    user = stack.user()
    key, _ = new_key(stack, user)
    assert 200 == ask(stack, key, max_tokens=1).status_code

    stack.admin("/DeleteUser", name=user)
    assert 401 == ask(stack, key, max_tokens=1).status_code  # at once: there is no such user
    stack.admin("/CreateUser", name=user, rpm=5)

    until(lambda: ask(stack, key, "/v1/models").status_code == 401, limit_s=10)
    assert "invalid_api_key" == ask(stack, key, max_tokens=1).json()["error"]["code"]


@once
def test_the_official_client_needs_nothing_but_a_base_url_and_a_key(stack: Stack):
    user = stack.user(rpm=2)
    key, _ = new_key(stack, user)
    with client(stack, key) as mine, client(stack, "sk-other") as stranger:
        answer = mine.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=5)
        stream = mine.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=5, stream=True)
        assert (5, True) == (answer.usage.completion_tokens, len(list(stream)) > 3)
        with pytest.raises(openai.RateLimitError):
            mine.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=5)
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()

    assert {"name": user, "requests": 2}.items() <= ask(stack, key, "/v1/usage").json().items()


@contextmanager
def client(stack: Stack, key: str) -> Iterator[openai.OpenAI]:
    with httpx.Client(trust_env=False) as http:
        yield openai.OpenAI(base_url=stack.variables["GATEWAY"] + "/v1", api_key=key, max_retries=0, http_client=http)


@once
def test_while_redis_hangs_keys_seen_before_go_on_and_others_are_503(stack: Stack):
    user = stack.user()
    (seen, _), (unseen, _) = new_key(stack, user), new_key(stack, user)
    assert 200 == ask(stack, seen, max_tokens=1).status_code
    [redis] = stack.processes("redis")

    os.kill(redis["pid"], signal.SIGSTOP)
    try:
        assert [200, 503] == [ask(stack, key, max_tokens=1).status_code for key in (seen, unseen)]
        refused = ask(stack, unseen, "/v1/models")
        assert ("limiter_unavailable", "1") == (refused.json()["error"]["code"], refused.headers["retry-after"])
        assert 503 == stack.admin("/CreateKey", user=user).status_code
    finally:
        os.kill(redis["pid"], signal.SIGCONT)

    until(lambda: ask(stack, unseen, max_tokens=1).status_code == 200, limit_s=10)


@where_headers_differ
def test_no_key_is_ever_written_to_a_log_or_to_redis(stack: Stack):
    key, _ = new_key(stack, stack.user())
    ask(stack, key, max_tokens=1)
    ask(stack, key, "/v1/models")
    ask(stack, key, model="no-such-model")

    files = [file for part in ("logs", "redis") for file in (stack.data / part).rglob("*") if file.is_file()]
    assert files
    assert [] == [file.name for file in files if key.encode() in file.read_bytes()]
