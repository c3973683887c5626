"""The stacks that are measured."""

from pathlib import Path

from bench.variants import settings_for, write_configuration
from gateway.config.loading import load
from routing.table import STRATEGIES


def test_the_configuration_of_a_measured_gateway_is_accepted(tmp_path: Path):
    settings = settings_for(8000, mode="metadata")

    assert settings == load(write_configuration(settings, tmp_path), {}, STRATEGIES)
