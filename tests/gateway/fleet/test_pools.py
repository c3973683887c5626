"""The choice of a pod where a model has several pools."""

from typing import Any

import pytest

from gateway.config.pools import PoolSettings
from gateway.config.settings import RoutingSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.fleet.fleet import Fleet
from ratelimit.prices import FREE, Prices
from routing.table import STRATEGIES
from routing.types import NoCandidateReason, RouteRequest, Slo
from tests.support.pods import MODEL, a_fleet, an_endpoint, refusal

REQUEST = RouteRequest(MODEL, prompt_tokens=100, output_tokens=10)
OWN = {"name": "own", "priority": 0, "spill": {"max_in_flight": 2}}
CLOUD = {
    "name": "cloud", "priority": 1, "cost_per_hour": 3, "prices": {"input": 2, "output": 8},
    "spill": {"max_in_flight": 2},
}  # fmt: skip


def a_hybrid(*, when_full: str = "queue", fallbacks: int = 2, own: int = 1, cloud: int = 2, **pool: Any) -> Fleet:
    """A fleet of so many pods of two pools."""
    settings = RoutingSettings.model_validate({"when_full": when_full, "fallbacks": fallbacks})
    pools = [PoolSettings.model_validate(each) for each in (OWN, CLOUD | pool)]
    endpoints = [
        an_endpoint(f"{pool.name}-{number}", pool=pool.name, pool_priority=pool.priority)
        for pool, count in zip(pools, (own, cloud), strict=True)
        for number in range(count)
    ]
    fleet = a_fleet(settings=settings)
    fleet.replace(FleetDescription({MODEL: ModelPolicy()}, tuple(endpoints), pools={each.name: each for each in pools}))
    return fleet


def routed(fleet: Fleet, number: int, strategy: str = "least-request", request: RouteRequest = REQUEST) -> list[str]:
    """The pools of so many requests, none of which ends."""
    return [fleet.route(request, strategy, 0.0).pod.endpoint.pool for _ in range(number)]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_under_any_strategy_the_first_pool_is_filled_before_the_next(strategy: str) -> None:
    request = REQUEST._replace(session="s", blocks=(1, 2, 3), block_tokens=30.0)

    assert ["own"] * 2 + ["cloud"] * 4 == routed(a_hybrid(), 6, strategy, request)


def test_what_ends_at_home_makes_room_at_home() -> None:
    fleet = a_hybrid()
    first = fleet.route(REQUEST, "random", 0.0)
    assert ["own", "cloud"] == routed(fleet, 2)

    fleet.release(first, 0.0)

    assert ["own", "cloud"] == routed(fleet, 2)


@pytest.mark.parametrize(
    ("when_full", "seventh"),
    [
        ("queue", NoCandidateReason.OVERLOADED),
        ("refuse", NoCandidateReason.POOLS_FULL),
        ("spread", None),
    ],
)
@pytest.mark.parametrize("slo", [None, Slo(2.0, 0.05)])
def test_when_all_pools_are_full_a_request_waits_is_refused_or_goes_anywhere(
    when_full: str, seventh: NoCandidateReason | None, slo: Slo | None
) -> None:
    fleet = a_hybrid(when_full=when_full)
    routed(fleet, 6, request=REQUEST._replace(slo=slo))

    assert seventh == refusal(lambda: fleet.route(REQUEST._replace(slo=slo), "least-request", 0.0))
    assert (when_full != "spread") == fleet.pools.may_refuse(MODEL)


def test_with_a_promise_the_first_pool_is_left_when_it_cannot_keep_it() -> None:
    fleet = a_hybrid()
    for pod in fleet.pods():
        for _ in range(50):
            pod.learn_speed(10_000, 1, 1.0, 0.0, 0.0)  # a token in 0.1 ms
    request = REQUEST._replace(slo=Slo(2.0, 0.05), prompt_tokens=9000)

    assert ["own", "cloud", "cloud"] == routed(fleet, 3, request=request)
    assert NoCandidateReason.OVERLOADED is refusal(lambda: fleet.route(request, "least-request", 0.0))


def test_the_last_fallback_is_in_another_pool_since_a_pool_may_fail_as_a_whole() -> None:
    fallbacks = {
        count: [pod.pool for pod in a_hybrid(fallbacks=count, own=4).route(REQUEST, "random", 0.0).decision.fallbacks]
        for count in (0, 1, 2, 3)
    }

    assert {0: [], 1: ["cloud"], 2: ["own", "cloud"], 3: ["own", "own", "cloud"]} == fallbacks


def test_a_pool_whose_pods_are_down_is_passed_over_until_one_is_back() -> None:
    fleet = a_hybrid()
    fleet.set_health("own-0", False)
    assert ["cloud"] == routed(fleet, 1)

    fleet.set_health("own-0", True)
    assert ["own"] == routed(fleet, 1)

    own = next(pod.endpoint for pod in fleet.pods() if pod.endpoint.pool == "own")
    fleet.record_failed_attempt(own.address, 0.0)
    assert ["cloud"] == routed(fleet, 1)


def test_endpoints_have_ranks_without_pools_too_and_models_in_one_pool_are_left_alone() -> None:
    ranked = a_fleet(an_endpoint("a", pool="x", pool_priority=2), an_endpoint("b", pool="y", pool_priority=1))
    alike = a_fleet(an_endpoint("a", pool="x"), an_endpoint("b", pool="y"))

    assert {"y"} == set(routed(ranked, 50, "random"))
    assert {"x", "y"} == set(routed(alike, 50, "random"))
    assert [True, False] == [fleet.pools.may_refuse(MODEL) for fleet in (ranked, alike)]


def test_new_pods_keep_what_is_known_of_pools_and_new_rules_do_not() -> None:
    fleet = a_hybrid()
    before = fleet.pools._spills[MODEL]

    fleet.replace(FleetDescription({MODEL: ModelPolicy()}, tuple(p.endpoint for p in fleet.pods()), pools=_pools(5.0)))
    kept = fleet.pools._spills[MODEL]
    fleet.replace(FleetDescription({MODEL: ModelPolicy()}, tuple(p.endpoint for p in fleet.pods()), pools=_pools(9.0)))

    assert kept is before
    assert fleet.pools._spills[MODEL] is not before


def _pools(hold_s: float) -> dict[str, PoolSettings]:
    both = (OWN | {"spill": {"max_in_flight": 2, "hold_s": hold_s}}, CLOUD)
    return {each["name"]: PoolSettings.model_validate(each) for each in both}  # type: ignore[misc]  # names are text


def test_tokens_cost_what_their_pool_says_and_replicas_by_the_hour() -> None:
    fleet = a_hybrid(prices={"input": 2, "cached_input": 0.5, "output": 8})

    assert Prices(2, 8, 0.5) == fleet.pools.prices("cloud")
    assert Prices(2, 8) == a_hybrid().pools.prices("cloud")
    assert [FREE, FREE] == [fleet.pools.prices(pool) for pool in ("own", "unlisted")]
    assert {"own": 0.0, "cloud": 6.0} == fleet.pools.hourly_costs()
