"""Requests for a model in several pools, of which one may be a cloud: what clients are told, and what is counted."""

import asyncio
from typing import Any

import pytest

from gateway.accounting.outcomes import ObservedEnd
from gateway.config.pools import PoolSettings
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.openai.answers import usage_record
from gateway.openai.usage import TokenUsage
from ratelimit.limits import User
from tests.support.pods import MODEL, an_endpoint
from tests.support.shop import Shop, refused, routed

POOL = "x-forebay-pool"
OWN, CLOUD = (
    PoolSettings.model_validate({"name": name, "priority": rank, "prices": prices, "spill": {"max_in_flight": 1}})
    for rank, (name, prices) in enumerate((("own", {}), ("cloud", {"input": 2, "cached_input": 1, "output": 8})))
)


def a_shop(**fields: Any) -> Shop:
    """One pod of one's own and one in a cloud, each full with one request."""
    settings = Settings.model_validate(fields)
    shop = Shop(settings, users={"lgy": User("lgy", 100, 100_000)})
    endpoints = tuple(an_endpoint(pool.name, pool=pool.name, pool_priority=pool.priority) for pool in (OWN, CLOUD))
    shop.fleet.replace(
        FleetDescription({MODEL: ModelPolicy()}, endpoints, pools={pool.name: pool for pool in (OWN, CLOUD)})
    )
    return shop


async def used(shop: Shop) -> int:
    """Requests that count against the user's limit."""
    assert shop.limiter is not None
    usage = await shop.limiter.usage("lgy")
    assert usage is not None
    return int(usage_record(usage)["requests"])


async def test_the_client_is_told_the_pool_and_envoy_those_of_all_pods_that_may_answer():
    shop = a_shop(kubernetes={"enabled": True})

    first, second = routed(await shop.admit()), routed(await shop.admit())

    assert ["own", "cloud"] == [each.response_headers[POOL] for each in (first, second)]
    pools = {address: shop.fleet.pools.names[address] for address in first.pods}
    assert {"own", "cloud"} == set(pools.values())
    assert pools == first.pools == first.metadata["forebay.pools"]
    assert POOL not in routed(await Shop().admit()).response_headers


async def test_a_request_waits_for_room_and_is_charged_once():
    shop = a_shop()
    await shop.admit(user="lgy")
    first = shop.last_id
    await shop.admit(user="lgy")

    waiting = asyncio.ensure_future(shop.admit(user="lgy"))
    await asyncio.sleep(0)
    assert {MODEL: 1} == shop.queue.waiting()
    shop.ledger.stream_closed(first)

    assert "own" == routed(await waiting).response_headers[POOL]
    assert 3 == await used(shop)


async def test_who_waited_in_vain_or_may_not_wait_is_refused_and_charged_nothing():
    for fields in ({"routing": {"when_full": "refuse"}}, {"routing": {"longest_wait_s": 0}}):
        shop = a_shop(**fields)
        await shop.admit(user="lgy")
        await shop.admit(user="lgy")

        assert (429, "overloaded", None) == refused(await shop.admit(user="lgy"))

        assert 2 == await used(shop)


async def test_spreading_refuses_nobody():
    shop = a_shop(routing={"when_full": "spread"})

    pools = [routed(await shop.admit()).response_headers[POOL] for _ in range(6)]

    assert ["own", "cloud"] == pools[:2]
    assert {"own", "cloud"} == set(pools[2:])


@pytest.mark.parametrize("answered_by", ["own", "cloud"])
async def test_requests_tokens_and_money_count_for_the_pool_that_answered(answered_by: str):
    shop = a_shop()
    await shop.admit()
    address = next(pod.endpoint.address for pod in shop.fleet.pods() if pod.endpoint.pool == answered_by)

    usage = TokenUsage(1000, 100, cached_tokens=400)
    shop.ledger.ended(
        shop.last_id, ObservedEnd(status=200, usage=usage, accepted=True, from_pod=True, upstream=address)
    )

    labels = f'model="m",pool="{answered_by}"'
    assert 1 == shop.sample(f'forebay_pool_requests_total{{model="m",outcome="ok",pool="{answered_by}"}}')
    tokens = [shop.sample(f'forebay_pool_tokens_total{{kind="{kind}",{labels}}}') for kind in ("input", "output")]
    assert [1000, 100] == tokens
    cost = (600 * 2 + 400 * 1 + 100 * 8) / 1e6 if answered_by == "cloud" else 0
    assert pytest.approx(cost) == shop.sample(f"forebay_pool_cost_total{{{labels}}}")
