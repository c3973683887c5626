"""The stacks that are measured."""

from pathlib import Path

from bench.variants import EMPTY, EMPTY_GO, settings_for, variants, write_configuration
from gateway.config.loading import load
from routing.table import STRATEGIES


def test_the_configuration_of_a_measured_gateway_is_accepted(tmp_path: Path):
    settings = settings_for(8000, mode="metadata")

    assert settings == load(write_configuration(settings, tmp_path), {}, STRATEGIES)


def test_the_floor_is_measured_behind_the_empty_processor_where_there_is_one():
    with_floor = list(variants(None, Path("floor")))

    assert [EMPTY, EMPTY_GO] == with_floor[1:3]
    assert [name for name in with_floor if name != EMPTY_GO] == list(variants(None))
