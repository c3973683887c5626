import pytest

from gateway.configuration_problems import ConfigurationError, Problems, dotted, shown


def test_keys_are_written_as_paths():
    assert dotted(dotted(dotted("", "models"), 0), "name") == "models[0].name"


def test_the_first_problem_of_a_key_stands():
    problems = Problems()
    problems.add("a", "first")
    problems.add("a", "a consequence")
    problems.add_value("b", None, "rule")

    with pytest.raises(ConfigurationError) as caught:
        problems.raise_if_any()

    assert caught.value.problems == ("first", "b = None, rule")


def test_no_problem_raises_nothing():
    Problems().raise_if_any()


def test_a_problem_concerns_its_own_section_only():
    problems = Problems()
    problems.add("models[0].name", "...")

    assert problems.concerns("models")
    assert not problems.concerns("models_file")


def test_values_are_shown_short_printable_and_without_secrets():
    assert shown("admin_token", "hush") == "***"
    assert shown("x", {"admin_token": "hush", "b": True}) == "{admin_token: ***, b: true}"
    assert shown("redis.url", "redis://u:hush@h") == "redis://***@h"
    assert shown("x", "x" * 100) == "x" * 80 + "..."
    assert shown("x", "a\nb") == "'a\\nb'"
    assert shown("x", "") == "''"
