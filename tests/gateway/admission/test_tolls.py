"""The limits of APIs in the cloud, beside those of users."""

from typing import Any

import pytest

from gateway.accounting.outcomes import ObservedEnd
from gateway.config.settings import ModelSettings, Settings
from gateway.discovery.models import describe, pooled
from gateway.extproc.events import Refused
from gateway.openai.usage import TokenUsage
from ratelimit.kinds import NANO
from ratelimit.limits import User
from tests.support.pods import MODEL
from tests.support.shop import Shop, refused, routed

PAYER = "pool, cloud"


def a_shop(own: int = 1, when_full: str = "refuse", users: dict[str, User] | None = None, **api: Any) -> Shop:
    """A shop with so many engines of its own, each of one request, and an API."""
    settings = Settings.model_validate({
        "routing": {"when_full": when_full},
        "pools": [
            {"name": "own", "priority": 0, "spill": {"max_in_flight": 1}},
            {"name": "cloud", "priority": 1, "prices": {"input": 1, "output": 1},
             "api": {"url": "https://a.test", "key_env": "K", "models": {MODEL: "gpt"}} | api},
        ],
    })  # fmt: skip
    shop = Shop(settings, users=users or {})
    endpoints = [{"address": f"10.0.0.{number}:1", "name": f"own-{number}", "pool": "own"} for number in range(own)]
    model = ModelSettings.model_validate({"name": MODEL, "endpoints": endpoints})
    shop.fleet.replace(pooled(describe((model,)), settings.pools))
    return shop


async def served_by(shop: Shop, **headers: str) -> str:
    return routed(await shop.admit(**headers)).response_headers["target-pod"]


async def used(shop: Shop, user: str, field: str) -> int:
    """The user's use of one limit."""
    usage = await shop.limiter.usage(user) if shop.limiter else None
    assert usage is not None
    [quota] = [quota for kind, quota in usage.quotas.items() if kind.field == field]
    return quota.used


async def test_an_api_without_limits_is_charged_nothing():
    shop = a_shop()

    assert ["own-0", "cloud", "cloud"] == [await served_by(shop) for _ in range(3)]
    assert {} == shop.users


async def test_over_the_apis_own_limit_requests_stay_at_home_and_then_are_refused():
    shop = a_shop(rpm=2)

    served = [await served_by(shop) for _ in range(3)]
    over = await shop.admit()
    routed_home = shop.fleet.pods()

    assert ["own-0", "cloud", "cloud"] == served
    assert (429, "overloaded", None) == refused(over)
    assert [1, 2] == [pod.in_flight for pod in routed_home]
    shop.now_s += 60
    assert "cloud" == await served_by(shop)


async def test_a_refusal_of_the_api_alone_says_which_limit_and_when_and_gives_the_users_charge_back():
    shop = a_shop(own=0, users={"u": User("u", rpm=5)}, rpm=1)
    assert "cloud" == await served_by(shop, user="u")

    over = await shop.admit(user="u")

    assert isinstance(over, Refused)
    assert "the API of pool cloud has reached RPM: 1" == over.error.message
    assert 60 == over.error.retry_after_s
    assert 1 == await used(shop, "u", "rpm")


@pytest.mark.parametrize(("upstream", "tokens"), [("envoy://api-cloud/0", 30), ("10.0.0.0:1", 0)])
async def test_the_api_is_charged_what_it_answered_and_nothing_when_an_engine_took_over(upstream: str, tokens: int):
    shop = a_shop(tpm=1_000_000)
    await served_by(shop)
    assert "cloud" == await served_by(shop)

    shop.ledger.ended(shop.last_id, ObservedEnd(status=200, usage=TokenUsage(10, 20), upstream=upstream))
    await shop.ledger.drain(0.1)

    assert tokens == await used(shop, PAYER, "tpm")


async def test_the_money_for_an_answer_of_which_nobody_tells_stays_spent():
    shop = a_shop(own=0, cost_day=1)
    await served_by(shop)
    reserved = await used(shop, PAYER, "cost_day")

    shop.ledger.ended(shop.last_id, ObservedEnd())
    await shop.ledger.drain(0.1)

    assert 0 < reserved == await used(shop, PAYER, "cost_day")
    assert pytest.approx(reserved / NANO) == shop.sample('forebay_pool_cost_total{model="m",pool="cloud"}')


async def test_an_api_that_asks_to_be_left_alone_is_while_there_are_others():
    shop = a_shop()
    await served_by(shop)
    assert "cloud" == await served_by(shop)

    shop.ledger.ended(shop.last_id, ObservedEnd(status=429, retry_after_s=7, upstream="envoy://api-cloud/0"))

    assert (429, "overloaded") == refused(await shop.admit())[:2]
    shop.now_s += 7
    assert "cloud" == await served_by(shop)


async def test_over_the_budget_of_the_day_requests_stay_at_home_until_it_is_over():
    shop = a_shop(cost_day=0.0005)

    served = [await served_by(shop) for _ in range(2)]
    shop.ledger.ended(shop.last_id, ObservedEnd(status=200, usage=TokenUsage(300, 200), upstream="envoy://api-cloud/0"))
    await shop.ledger.drain(0.1)
    over = await shop.admit()

    assert ["own-0", "cloud"] == served
    assert (429, "overloaded", None) == refused(over)


async def test_a_budget_is_told_in_the_currency_of_the_prices():
    over = await a_shop(own=0, cost_day=0.00005).admit()

    assert isinstance(over, Refused)
    assert "the API of pool cloud has reached COST_DAY: 5e-05" == over.error.message
