"""Limits that are hard, budgets, groups and keys through real Envoy and Redis, over four workers."""

import datetime
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

WORKERS = 4
PROMPT_BYTES = len("user\nSay this is a test!")
TEMPLATE = 32
"""`limits.template_tokens`."""
TPM = 400
CONFIG = "identity: api_key\nanonymous: deny\n"
PRICE = 2.0
"""The price of a million tokens of an answer; prompts are free."""


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("hard"), workers=WORKERS, engines=2, config=CONFIG) as stack:
        models = [{**model, "prices": {"output": PRICE}} for model in stack.models()]
        stack.write_models(yaml.safe_dump(models))
        yield stack


def a_key(stack: Stack, user: str, **terms: object) -> str:
    made = stack.admin("/CreateKey", user=user, **terms)
    assert made.status_code == httpx.codes.OK, made.text
    return str(made.json()["secret"])


def ask(stack: Stack, key: str, **changes: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return stack.users.post("/v1/chat/completions", json=stack.body(**changes), headers=headers)


def midnight_s() -> float:
    """Seconds until the day ends, in UTC."""
    return -time.time() % 86_400


def wait_until_midnight_is_far() -> None:
    if midnight_s() < 60:
        time.sleep(midnight_s() + 1)


def produced(answer: httpx.Response) -> int:
    return int(answer.json()["usage"]["total_tokens"]) if answer.is_success else 0


def test_who_names_no_maximum_gets_exactly_what_is_left_and_is_told(hard: Stack):
    key = a_key(hard, hard.user(tpm=TPM, reserve="maximum"))
    left = TPM - PROMPT_BYTES - TEMPLATE

    first = ask(hard, key, max_tokens=None, ignore_eos=True)

    assert (200, str(left)) == (first.status_code, first.headers["x-forebay-max-tokens"])
    assert left == first.json()["usage"]["completion_tokens"]
    hard.settled()
    rest = TPM - produced(first)
    second = ask(hard, key, max_tokens=1000, ignore_eos=True)  # the bound of its prompt counts, not its tokens
    if rest <= PROMPT_BYTES + TEMPLATE:
        assert (429, "true") == (second.status_code, second.headers["x-error-tpm-exceeded"])
    else:
        assert str(rest - PROMPT_BYTES - TEMPLATE) == second.headers["x-forebay-max-tokens"]
    assert produced(first) + produced(second) <= TPM


@pytest.mark.parametrize("maximum", [None, 20])
def test_bursts_over_workers_never_produce_more_than_the_limit(hard: Stack, maximum: int | None):
    keys = [a_key(hard, hard.user(tpm=TPM, reserve="maximum")) for _ in range(3)]
    with ThreadPoolExecutor(24) as pool:
        for key in keys:
            answers = list(pool.map(lambda _, key=key: ask(hard, key, max_tokens=maximum, ignore_eos=True), range(24)))

            assert {200, 429} == {answer.status_code for answer in answers}
            assert 0 < sum(map(produced, answers)) <= TPM


def test_a_budget_that_is_used_up_is_told_as_openai_does_and_nothing_is_left(hard: Stack):
    wait_until_midnight_is_far()
    user = hard.user(budgets={"day": 300, "cost_month": 1}, reserve="maximum")
    key = a_key(hard, user)
    spent = 0
    for _ in range(20):
        answer = ask(hard, key, max_tokens=None, ignore_eos=True)
        spent += produced(answer)
        if not answer.is_success:
            break
        hard.settled()

    error = answer.json()["error"]
    assert (429, "insufficient_quota", "insufficient_quota") == (answer.status_code, error["type"], error["code"])
    assert f"user: {user} has exceeded DAY BUDGET: 300; it begins anew in " in error["message"]
    assert ("true", "false") == (answer.headers["x-error-budget-exceeded"], answer.headers["x-should-retry"])
    assert abs(midnight_s() - int(answer.headers["retry-after"])) < 30
    assert '"budget-day";q=300;w=86400' in answer.headers["ratelimit-policy"]
    usage = hard.users.get("/v1/usage", headers={"authorization": f"Bearer {key}"}).json()
    budgets = usage["budgets"]
    assert (300, spent, 300 - spent) == tuple(budgets["day"][name] for name in ("limit", "used", "remaining"))
    assert 300 - PROMPT_BYTES - TEMPLATE <= spent <= 300
    assert 0 < budgets["cost_month"]["used"] < 300 * PRICE / 1e6
    assert budgets.keys() == hard.admin(f"/users/{user}/usage").json()["budgets"].keys()


def test_the_users_of_a_group_share_its_limits(hard: Stack):
    url = f"{hard.variables['ADMIN']}/groups/team"
    assert httpx.put(url, json={"rpm": 3}, trust_env=False, timeout=30).is_success
    keys = [a_key(hard, hard.user(rpm=100, tpm=100_000, group="team")) for _ in range(2)]

    answers = [ask(hard, key) for key in [*keys, *keys]]

    assert [200, 200, 200, 429] == [answer.status_code for answer in answers]
    assert "has exceeded RPM: 3" in answers[-1].json()["error"]["message"]
    assert '"group-rpm";q=3;w=60' in answers[0].headers["ratelimit-policy"]
    assert (3, 3) == tuple(hard.admin("/groups/team/usage").json()[name] for name in ("requests", "rpm"))


def test_a_key_has_limits_of_its_own_models_and_an_end(hard: Stack):
    user = hard.user(rpm=100, tpm=100_000)
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=8)
    limited, other = a_key(hard, user, rpm=1), a_key(hard, user, models=[hard.model])
    ending = a_key(hard, user, expires_at=ends.isoformat())

    assert [200, 429, 200] == [ask(hard, key).status_code for key in (limited, limited, other)]
    assert 200 == ask(hard, ending).status_code
    until(lambda: time.time() >= ends.timestamp(), limit_s=20)
    refused = ask(hard, ending)
    assert (401, "invalid_api_key") == (refused.status_code, refused.json()["error"]["code"])
    assert 200 == ask(hard, other).status_code
