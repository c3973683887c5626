"""Mixtures of strategies."""

import random

import pytest

from routing.mixture import Mixture, MixturePart, parse_mixture
from routing.strategy import Tools
from routing.table import build
from routing.types import Decision, RouteRequest
from tests.support.pods import MODEL, pods_with

TOOLS = Tools(random.Random(1))


def pick(text: str) -> Decision:
    """p0 holds nothing and does nothing, p1 is busy, p2 has few requests and most tokens."""
    pods = pods_with(0, 9, 1)
    for pod, tokens in zip(pods, (500, 0, 1000), strict=True):
        pod.prefill_tokens = tokens
    parts = [(build(part.name, TOOLS), part.weight) for part in parse_mixture(text)]
    return Mixture(text, parts, TOOLS).pick(RouteRequest(MODEL), pods, 0.0)


def test_a_weight_that_is_left_out_is_one() -> None:
    assert parse_mixture("a:2,b,c:0") == [MixturePart("a", 2), MixturePart("b", 1), MixturePart("c", 0)]


@pytest.mark.parametrize("text", ["a:1001", "a:", "a:-1", "a:²", "a:0", "a:0,b:0"])
def test_weights_are_integers_to_1000_and_not_all_0(text: str) -> None:
    with pytest.raises(ValueError, match="weight"):
        parse_mixture(text)


def test_a_strategy_that_is_named_twice_is_a_mistake_and_not_work_without_end() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_mixture("a:2,b,a")


def test_scores_are_brought_to_one_scale_before_they_are_weighed() -> None:
    assert pick("least-request:1,least-load:1").pod.id == "p0"  # 0 + 0.5 against 1 + 0 and 0.1 + 1
    assert pick("least-request:1,least-load:1000").pod.id == "p1"


def test_a_part_of_weight_0_says_nothing() -> None:
    assert pick("least-request:0,least-load:1").pod.id == "p1"


def test_a_mixture_is_named_by_its_text_and_reports_the_fallbacks_of_its_parts() -> None:
    decision = pick("least-kv-cache:3,session-affinity:1")

    assert decision.strategy == "least-kv-cache:3,session-affinity:1"
    assert decision.fallback == "kv_usage-missing+no-session"
    assert decision.reason.endswith("fallback=kv_usage-missing+no-session")


def test_a_fallback_that_two_parts_share_is_reported_once() -> None:
    assert pick("prefix-cache,prefix-cache-and-load,session-affinity").fallback == "no-blocks+no-session"


def test_each_parts_share_of_the_score_is_reported() -> None:
    parts = [(build(part.name, TOOLS), part.weight) for part in parse_mixture("least-request:2,random:0,least-load")]
    mixture = Mixture("a mixture", parts, TOOLS)
    scored = mixture.score(RouteRequest(MODEL), pods_with(0, 4, 1), 0.0)

    assert mixture.part_names() == ("least-request", "least-load")
    assert scored.parts == [(0.0, 0.0), (2.0, 0.0), (0.5, 0.0)]
    assert scored.scores == [0.0, 2.0, 0.5]
