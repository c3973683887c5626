"""The names of keys: all of a level's are in one slot of a Redis Cluster."""

import pytest
from redis.crc import key_slot

from ratelimit.redis.names import api_key_key, group_key, period_keys, prefix_of, user_key, window_key

NOON = 1_772_366_400  # 2026-03-01 12:00 UTC


@pytest.mark.parametrize(
    ("record", "holder"),
    [(user_key("u"), ("u",)), (user_key("u"), ("u", "k")), (group_key("g"), ("", "g"))],
)
def test_what_a_level_used_is_in_the_slot_of_its_record(record: str, holder: tuple[str, ...]):
    prefix = prefix_of(holder)

    keys = [f"{prefix}:window", *period_keys(prefix, NOON)]

    assert {key_slot(record.encode())} == {key_slot(key.encode()) for key in keys}


def test_names_are_as_contracts_have_them():
    assert "forebay:{aibrix-users/u}:window:model:m" == window_key("u", "m")
    assert "forebay:{aibrix-users/u}:key:k" == api_key_key("u", "k") == prefix_of(("u", "k"))
    assert "forebay:groups/g" == group_key("g")
    assert period_keys("p", NOON) == ("p:budget:2026-03-01", "p:budget:2026-03")
