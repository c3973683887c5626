"""The table of strategies and the header that names one."""

import random
import re

import pytest

from routing.mixture import MAX_WEIGHT, MixturePart
from routing.strategies.own_counts import LeastRequest
from routing.strategy import Tools
from routing.table import (
    MAX_NAME_CHARACTERS,
    STRATEGIES,
    UnknownStrategyError,
    build,
    mixture_parts,
    parse_header,
    validated,
)
from tests.support.source_tree import ROOT


def test_the_public_names_are_those_of_the_contract() -> None:
    assert set(STRATEGIES) == {
        "forebay", "random", "least-request", "throughput", "least-busy-time", "least-kv-cache", "least-latency",
        "prefix-cache", "prefix-cache-and-load", "prefix-cache-preble", "vtc-basic", "power-of-two", "session-affinity",
        "least-gpu-cache", "least-utilization", "least-load", "slo",
        "slo-least-load", "slo-pack-load",
    }  # fmt: skip


@pytest.mark.parametrize(("page", "name"), [("routing.md", r"\*\*([a-z-]+)\*\*"), ("contracts.md", r"`([a-z-]+)`")])
def test_every_strategy_is_described_where_users_look(page: str, name: str) -> None:
    described = set(re.findall(name, (ROOT / "docs" / page).read_text()))

    assert set(STRATEGIES) <= described


def test_a_name_builds_its_strategy() -> None:
    assert isinstance(build("least-request", Tools(random.Random(1))), LeastRequest)


def test_an_unknown_name_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(UnknownStrategyError, match="'fastest', must be one of: forebay, least-busy-time") as raised:
        build("fastest", Tools(random.Random(1)))

    assert (raised.value.name, raised.value.valid) == ("fastest", tuple(sorted(STRATEGIES)))


@pytest.mark.parametrize("name", ["random", "random,least-request", "least-request:2,random", "random:7"])
def test_a_known_name_or_mixture_is_returned(name: str) -> None:
    assert validated(name) == name
    assert parse_header(name) == name


def test_a_mixture_has_shares() -> None:
    assert mixture_parts("least-request:2,random") == [MixturePart("least-request", 2), MixturePart("random", 1)]


@pytest.mark.parametrize("value", [None, ""])
def test_an_absent_or_empty_header_names_nothing(value: str | None) -> None:
    assert parse_header(value) is None


@pytest.mark.parametrize(
    "value",
    ["Random", " random", "random ", "random,Least-request", "random, least-request", "least_request", "random:",
     "random:1001", "random:-1", "random:1.5", "random:x", "random:0", "random:0,least-request:0", ",", "random,",
     "random,random"],
)  # fmt: skip
def test_a_header_that_is_not_exactly_names_and_weights_is_invalid(value: str) -> None:
    with pytest.raises(UnknownStrategyError):
        parse_header(value)


def test_all_strategies_with_weights_are_a_mixture_and_more_is_refused_in_few_words() -> None:
    everything = ",".join(f"{name}:{MAX_WEIGHT}" for name in STRATEGIES)
    assert everything == validated(everything)

    with pytest.raises(UnknownStrategyError) as refused:
        parse_header("b," * 30_000)
    assert len(str(refused.value)) < 2 * MAX_NAME_CHARACTERS + 500
