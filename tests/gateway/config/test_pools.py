"""The section `pools`."""

from math import inf, nan
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.pools import PoolSettings, own_pool


def test_a_pool_needs_a_name_and_a_rank() -> None:
    pool = PoolSettings.model_validate({"name": "own", "priority": 0})

    assert (0.0, None, 5.0) == (pool.cost_per_hour, pool.cap, pool.spill.hold_s)


@pytest.mark.parametrize(
    "value",
    [
        {"priority": None},
        {"priority": 1001},
        {"priority": True},
        {"name": ""},
        {"cost_per_hour": nan},
        {"cost_per_hour": -1},
        {"prices": {"input": nan}},
        {"prices": {"output": inf}},
        {"prices": {"cached_input": -0.1}},
        {"cap": -1},
        {"cap": 1.5},
        {"spill": {"max_in_flight": 0}},
        {"spill": {"max_kv_usage": 0}},
        {"spill": {"free_share": 1.1}},
        {"spill": {"hold_s": -1}},
        {"spill": {"hold_s": nan}},
        {"spil": {}},
    ],
)
def test_absurd_numbers_and_unknown_keys_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PoolSettings.model_validate({"name": "own", "priority": 0} | value)


def test_ones_own_pool_is_the_preferred_one_that_is_no_api() -> None:
    api = {"url": "https://api.example", "key_env": "KEY", "models": {"m": "m"}}
    pools = [
        PoolSettings.model_validate({"name": "api", "priority": 0, "api": api}),
        PoolSettings.model_validate({"name": "rented", "priority": 2}),
        PoolSettings.model_validate({"name": "own", "priority": 1}),
    ]

    assert ("own", "") == (own_pool(pools), own_pool(pools[:1]))
