"""The table of options, and settings made of it."""

from dataclasses import dataclass

import pytest

from autoscaling.options import BY_NAME, settings


@dataclass(frozen=True)
class SomeSettings:
    window_s: float = 60.0
    up_tolerance: float = 0.1


def test_settings_have_what_is_named_and_defaults_for_the_rest():
    assert SomeSettings(window_s=30.0) == settings(SomeSettings, {"window": "30s", "panic-threshold": "2"})
    assert SomeSettings(up_tolerance=0.3) == settings(SomeSettings, {"scale-up-tolerance": "0.3"})


def test_a_value_that_breaks_its_rule_is_refused():
    with pytest.raises(ValueError, match="must be a duration"):
        settings(SomeSettings, {"window": "30"})


def test_no_name_is_that_of_two_options():
    options = set(BY_NAME.values())

    assert len(BY_NAME) == sum(1 + bool(option.also) for option in options)
