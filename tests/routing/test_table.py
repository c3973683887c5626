"""The table of strategies and the header that names one."""

import random

import pytest

from routing.strategies.least_request import LeastRequest
from routing.table import STRATEGIES, UnknownStrategyError, build, known, parse_header


def test_the_public_names_are_these() -> None:
    assert set(STRATEGIES) == {"least-request", "random"}


def test_a_name_builds_its_strategy() -> None:
    assert isinstance(build("least-request", random.Random(1), fallbacks=1), LeastRequest)


def test_an_unknown_name_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(UnknownStrategyError, match="'fastest', must be one of: least-request, random") as raised:
        build("fastest", random.Random(1), fallbacks=1)

    assert (raised.value.name, raised.value.valid) == ("fastest", ("least-request", "random"))


def test_a_known_name_is_returned() -> None:
    assert known("random") == "random"


@pytest.mark.parametrize("value", [None, ""])
def test_an_absent_or_empty_header_names_nothing(value: str | None) -> None:
    assert parse_header(value) is None


def test_a_header_names_a_strategy() -> None:
    assert parse_header("least-request") == "least-request"


@pytest.mark.parametrize("value", ["Random", " random", "random ", "random,least-request", "random:2", "least_request"])
def test_a_header_that_is_not_exactly_a_name_is_invalid(value: str) -> None:
    with pytest.raises(UnknownStrategyError):
        parse_header(value)
