"""Prices of models, by the configuration file and by the annotation of pods."""

import pytest

from gateway.config.settings import ModelSettings
from gateway.discovery.description import ModelPolicy
from gateway.discovery.models import describe
from gateway.discovery.pods import policy_of
from ratelimit.prices import FREE, Prices
from routing.table import STRATEGIES


def test_prices_hold_under_every_profile():
    prices = {"input": 0.5, "cached_input": 0.1, "output": 2}
    policy = describe(
        (
            ModelSettings.model_validate({"name": "m", "prices": prices, "profiles": [{"name": "fast"}]}),
            ModelSettings(name="free"),
        )
    ).models

    assert Prices(0.5, 2, 0.1) == policy["m"].prices == policy["m"].profiles["fast"].prices
    assert FREE == policy["free"].prices


def test_prices_of_the_annotation_hold_under_every_profile():
    config = '{"prices": {"input": 0.5, "cachedInput": 0.1, "output": 2}, "profiles": {"fast": {}}}'

    policy = policy_of("m", config, STRATEGIES)

    assert Prices(0.5, 2, 0.1) == policy.prices == policy.profiles["fast"].prices


@pytest.mark.parametrize("price", ["-1", "1e9", '"1"', "true", "NaN"])
def test_a_price_that_cannot_be_leaves_the_model_without_a_policy(price):
    assert ModelPolicy() == policy_of("m", f'{{"prices": {{"output": {price}}}}}', STRATEGIES)
