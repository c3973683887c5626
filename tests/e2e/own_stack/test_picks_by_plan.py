"""Strategies that follow the optimizer's hint: written to Redis as it writes it, seen through Envoy by who answers."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.support.stage import Cast, always, words
from tests.support.waiting import until
from traffic.hint import Hint
from traffic.hint_json import render
from traffic.hint_store import LIFE_S, key_of

SHORT, MIDDLE, LONG = 10, 400, 2000
"""Tokens of prompts; cells are in the middle between them."""
READ_LIMIT_S = 40.0
"""A gateway looks every 5 s, on a busy machine later."""

by_every_name = pytest.mark.parametrize("strategy", ["slo", "slo-least-load", "slo-pack-load"])


class Planner:
    """The Redis of a cast's stack, and the page of what the gateway has read there."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self.redis = Redis.from_url(cast.stack.variables["REDIS_URL"])

    def publish(self, version: int, age_s: float = 0.0) -> None:
        """Short prompts to the L20, long ones to the A100, those between to both; returns once it is read."""
        seconds, _ = self.redis.time()
        cells = ({"l20": 1.0}, {"l20": 0.5, "a100": 0.5}, {"a100": 1.0})
        rates = {"l20": ((20.0, 10.0, 0.0),), "a100": ((20.0, 15.0, 5.0),)}
        hint = Hint(
            version, seconds - age_s, (8.0,), (SHORT, MIDDLE, LONG), {"l20": 1, "a100": 1}, (cells,), cells, rates
        )
        self.redis.set(key_of(self._cast.model), render(hint), ex=LIFE_S)
        self.wait(lambda page: page["version"] == version)

    def wait(self, condition: Callable[[Mapping[str, Any]], bool]) -> None:
        until(lambda: (page := self.page()) and condition(page), limit_s=READ_LIMIT_S, every_s=0.2)

    def page(self) -> dict[str, Any]:
        """The entry of the cast's model in /debug/plans."""
        plans = httpx.get(self._cast.stack.variables["HTTP"] + "/debug/plans", trust_env=False).json()
        return dict(plans.get(self._cast.model, {}))

    def fallbacks(self, reason: str) -> float:
        return self._cast.stack.figure("forebay_fallbacks_total", strategy="slo", reason=reason)

    def complaints(self) -> int:
        logs = (file.read_text() for file in (self._cast.stack.data / "logs").glob("gateway*.log"))
        return sum(
            '"hint_unreadable"' in line and self._cast.model in line for log in logs for line in log.splitlines()
        )


@pytest.fixture
def planner(cast: Cast):
    until(lambda: all(state["state"] == "ready" for state in cast.states()), limit_s=READ_LIMIT_S)
    made = Planner(cast)
    yield made
    made.redis.close()


@by_every_name
def test_prompts_go_to_the_deployment_that_the_plan_chose_for_their_size(
    cast: Cast, planner: Planner, strategy: str
) -> None:
    planner.publish(7)

    assert always("l20") == cast.picks(strategy, prompt=words(SHORT))
    assert all(reason.startswith("plan 7: l20, ") for reason in cast.reasons)
    assert always("a100") == cast.picks(strategy, prompt=words(LONG)), cast.reasons
    assert all(reason.startswith("plan 7: a100, ") for reason in cast.reasons)
    assert not [reason for reason in cast.reasons if "plan-" in reason or "-plan" in reason]


def test_a_size_that_is_shared_is_divided_and_the_page_compares(cast: Cast, planner: Planner) -> None:
    planner.publish(7)

    split = Counter(cast.picks("slo", 20, prompt=words(MIDDLE)))

    assert 20 == split["l20"] + split["a100"]
    assert 8 <= split["l20"] <= 12
    shown = planner.page()["deployments"]
    assert {name: split[name] for name in ("l20", "a100")} == {name: row["chosen"] for name, row in shown.items()}
    assert {"l20": 10.0, "a100": 10.0} == {name: row["wanted"] for name, row in shown.items()}


def test_without_a_hint_the_default_strategy_chooses_and_says_so(cast: Cast, planner: Planner) -> None:
    before = planner.fallbacks("no-plan")

    cast.picks("slo")

    assert all(reason.endswith("fallback=speed-unknown+no-plan") for reason in cast.reasons)
    assert len(cast.reasons) == planner.fallbacks("no-plan") - before


def test_an_expired_hint_is_named_and_its_throughputs_decide(cast: Cast, planner: Planner) -> None:
    planner.publish(7, age_s=LIFE_S - 2)
    planner.wait(lambda page: bool(page["expired"]))
    before = planner.fallbacks("plan-expired")

    assert always("a100") == cast.picks("slo", prompt=words(LONG))

    assert all(reason.endswith("+plan-expired") or "fallback=plan-expired" in reason for reason in cast.reasons)
    assert len(cast.reasons) == planner.fallbacks("plan-expired") - before
    planner.publish(8)
    assert always("a100") == cast.picks("slo", prompt=words(LONG))
    assert all(reason.startswith("plan 8: a100") and "expired" not in reason for reason in cast.reasons)


def test_garbage_is_one_line_in_the_log_and_the_last_good_hint_stays(cast: Cast, planner: Planner) -> None:
    planner.publish(7)
    planner.redis.set(key_of(cast.model), "garbage")
    until(planner.complaints, limit_s=READ_LIMIT_S)

    assert always("a100") == cast.picks("slo", prompt=words(LONG))

    assert all(reason.startswith("plan 7: a100") for reason in cast.reasons)
    planner.publish(8)
    assert always("l20") == cast.picks("slo", prompt=words(SHORT))
    assert 1 == planner.complaints()


def test_filters_of_the_client_hold_and_what_stands_in_is_named(cast: Cast, planner: Planner) -> None:
    planner.publish(7)

    assert always("a100") == cast.picks("slo", prompt=words(SHORT), headers={"external-filter": "gpu in (a100,h100)"})
    assert all("deployment-away" in reason for reason in cast.reasons)
    assert always("h100") == cast.picks("slo", prompt=words(SHORT), headers={"external-filter": "gpu=h100"})
    assert all("no-pod-planned" in reason for reason in cast.reasons)


def test_a_mixture_counts_the_plan(cast: Cast, planner: Planner) -> None:
    planner.publish(7)

    with cast.holding(l20=1):
        assert always("l20") == cast.picks("slo:3,least-request", prompt=words(SHORT))
