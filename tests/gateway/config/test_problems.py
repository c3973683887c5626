"""Problems are collected once per key and raised together."""

import pytest

from gateway.config.problems import ConfigurationError, Problems


def test_the_first_problem_of_a_key_stands():
    problems = Problems()
    problems.add("a", "first")
    problems.add("a", "a consequence")
    problems.add_value("b", None, "rule")

    with pytest.raises(ConfigurationError) as caught:
        problems.raise_if_any()

    assert caught.value.problems == problems.lines() == ("first", "b = None, rule")


def test_no_problem_raises_nothing():
    Problems().raise_if_any()


def test_a_problem_concerns_its_own_section_only():
    problems = Problems()
    problems.add("models[0].name", "...")

    assert problems.concerns("models")
    assert not problems.concerns("models_file")
