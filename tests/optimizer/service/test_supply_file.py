"""The file of the supply: its keys, and what a wrong one is told."""

import pytest

from optimizer.input.reading import InputError
from optimizer.service.supply_file import parse_supply
from optimizer.solver.supply import Supply


def test_every_key_is_read():
    text = """
    inventory: {L20: 8}
    pools: {idc: {L20: 4, V100: 2}}
    budget: 40
    spot_share: 0.5
    spot_share_per_domain: 0.25
    on_demand_min: 1
    """

    assert Supply({"L20": 8}, {"idc": {"L20": 4, "V100": 2}}, 40.0, 0.5, 0.25, 1) == parse_supply(text)


def test_an_empty_file_limits_nothing():
    assert Supply() == parse_supply("")


@pytest.mark.parametrize(
    "text", ["inventory: {L20: -1}", "budget: -1", "spot_share: 1.1", "gpus: {}", "pools: {idc: 4}"]
)
def test_a_wrong_key_is_told(text: str):
    with pytest.raises(InputError) as caught:
        parse_supply(text)

    assert 1 == len(caught.value.problems)
    assert caught.value.problems[0].startswith(text.partition(":")[0])
