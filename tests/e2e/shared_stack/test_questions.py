"""The questions that cost a user nothing: its usage, and whether a request would be admitted."""

from typing import Any

import httpx
import pytest

from tests.support.own_engine import OwnEngine
from tests.support.stack import Stack

LIMIT_HEADERS = {"x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "ratelimit", "x-update-tpm"}


def usage(stack: Stack, user: str) -> httpx.Response:
    return stack.users.get("/v1/usage?a=b", headers={"user": user})


def dry(stack: Stack, user: str, **changes: Any) -> httpx.Response:
    return stack.chat(user, headers={"dry-run": "true"}, **changes)


def test_a_user_is_told_what_the_administrator_is_told_and_is_not_charged_for_it(stack: Stack):
    user = stack.user(rpm=10, tpm=1000)
    assert 200 == stack.chat(user, max_tokens=5).status_code
    stack.settled()

    told = [usage(stack, user) for _ in range(3)]

    record = {"name": user, "requests": 1, "tokens": 17, "rpm": 10, "tpm": 1000, "window_s": 60}
    assert [record] * 4 == [*(each.json() for each in told), stack.admin(f"/users/{user}/usage").json()]
    assert {"application/json"} == {each.headers["content-type"] for each in told}
    assert LIMIT_HEADERS <= told[0].headers.keys()
    assert ("9", "983") == tuple(told[0].headers[f"x-ratelimit-remaining-{kind}"] for kind in ("requests", "tokens"))


def test_there_is_no_usage_of_nobody(stack: Stack):
    nameless, unknown = stack.users.get("/v1/usage"), usage(stack, "ghost")

    assert [401, 401] == [nameless.status_code, unknown.status_code]
    assert "GET, HEAD" == stack.post("/v1/usage", "ghost", {}).headers["allow"]


def test_a_dry_run_reaches_no_engine_charges_nothing_and_tells_the_truth(stack: Stack, own: OwnEngine):
    user = stack.user(rpm=2, tpm=300)

    before = dry(stack, user, model="own", max_tokens=2)
    too_much = dry(stack, user, model="own", max_tokens=2, n=200)
    assert [] == own.received
    stack.uses(user, 0, 0)
    for _ in range(2):
        assert 200 == stack.chat(user, model="own", max_tokens=50, stream=None).status_code
    after = dry(stack, user, model="own", stream=True)

    assert [200] * 3 == [each.status_code for each in (before, too_much, after)]
    assert {"admitted": True, "kind": None, "retry_after_s": None}.items() <= before.json().items()
    assert 2 < before.json()["estimated_tokens"] < 40  # the prompt as this engine's other answers taught
    assert {"admitted": True, "estimated_tokens": 300}.items() <= too_much.json().items()  # a guess shrinks
    assert {"admitted": False, "kind": "rpm", "limit": 2}.items() <= after.json().items()
    assert 50 < after.json()["retry_after_s"] <= 60
    assert LIMIT_HEADERS <= before.headers.keys()
    stack.uses(user, 2, 24)
    assert 2 == len(own.received)


def test_a_dry_run_says_as_the_request_would_what_no_limit_is_about(stack: Stack):
    user = stack.user()

    unknown = dry(stack, user, model="gpt-9")
    bad = dry(stack, user, messages="hello")
    misspelt = stack.chat(user, headers={"dry-run": "1"})

    assert [404, 400, 400] == [each.status_code for each in (unknown, bad, misspelt)]
    assert "dry-run" == misspelt.json()["error"]["param"]
    stack.uses(user, 0, 0)


@pytest.mark.parametrize(("tokens", "admitted"), [(300, True), (301, False)])
def test_the_administrator_may_ask_for_a_user(stack: Stack, tokens: int, admitted: bool):
    user = stack.user(tpm=300)

    told = stack.admin(f"/users/{user}/check", tokens=tokens).json()

    assert (admitted, tokens) == (told["admitted"], told["estimated_tokens"])
    stack.uses(user, 0, 0)
