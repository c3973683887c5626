"""Texts made by a regular expression."""

import re
from random import Random

import pytest

from simulator.openai.patterns import matching


@pytest.mark.parametrize(
    "pattern", [r"\w+@\w+\.com", r"[^0-9\s]{3}", "a*?b{2,}", "(?:x|y)(z)", r"\S\D\W", ".", "[a-c0-9_]+"]
)
def test_a_text_matches_its_pattern(pattern):
    assert all(re.search(pattern, matching(pattern, Random(seed))) for seed in range(30))


def test_a_pattern_that_repeats_without_end_costs_nothing():
    with pytest.raises(ValueError, match="too often"):
        matching("a{100000000}", Random(1))
