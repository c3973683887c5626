"""Strategies are built once, and each in use learns."""

import random

import pytest

from gateway.fleet.strategies import Strategies
from routing import table
from routing.strategies.vtc_basic import VtcBasic
from routing.strategy import Finished, Strategy, Tools
from routing.table import UnknownStrategyError
from routing.types import RouteRequest
from tests.support.pods import pods_with

HEAVY = RouteRequest("m", "heavy", 100, 10)


def strategies() -> Strategies:
    return Strategies(Tools(random.Random(1)), table.build)


def test_a_strategy_is_built_once_and_a_mixture_each_time_of_the_same_parts() -> None:
    kept = strategies()

    assert kept.get("random") is kept.get("random")
    assert kept.get("random,least-request") is not kept.get("random,least-request")
    with pytest.raises(UnknownStrategyError):
        kept.get("nonsense")


@pytest.mark.parametrize("how", ["here", "elsewhere"])
def test_service_counts_wherever_a_user_got_it(how: str) -> None:
    kept = strategies()
    before, pods = scores(kept.get("vtc-basic")), pods_with(0, 0)
    assert before[0] < before[1]

    if how == "here":
        kept.observe(Finished(pods[0].endpoint.id, HEAVY, 1.0, False, input_tokens=100, output_tokens=0))
    else:
        kept.serve("heavy", 100.0, 1.0)

    assert scores(kept.get("vtc-basic")) == before[::-1]


def scores(strategy: Strategy) -> list[float]:
    assert isinstance(strategy, VtcBasic)
    return list(strategy.score(HEAVY, pods_with(0, 0), 1.0).scores)
