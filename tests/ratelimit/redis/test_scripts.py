"""The assembly of the Lua scripts; tests/contract holds what they do."""

import re

import pytest

from ratelimit.kinds import MODEL_KINDS, UNITS, USER_KINDS
from ratelimit.redis.connection import Script
from ratelimit.redis.scripts import CONSTANTS, LIMITER_SCRIPTS, RESERVE


def code(script: Script) -> str:
    """The text without comments and strings."""
    return re.sub(r"--[^\n]*|'[^'\n]*'", "", script.source)


@pytest.mark.parametrize("script", LIMITER_SCRIPTS)
def test_every_name_in_capitals_is_filled_in(script: Script):
    assert set(re.findall(r"\b[A-Z][A-Z_]+\b", code(script))) <= {"KEYS", "ARGV"}


def test_kinds_are_known_by_name_with_the_units_that_they_count():
    assert CONSTANTS["USER_LIMITS"].startswith("{ 'rpm', 'rpm', 1, 'tpm', 'tpm', 2")
    for kind in (*USER_KINDS, *MODEL_KINDS):
        assert f"'{kind.name}', '{kind.field}'" in RESERVE.source


def test_units_differ_in_their_first_letters_which_name_the_fields_of_a_slot():
    assert len(UNITS) == len({unit[0] for unit in UNITS})
    assert CONSTANTS["SLOT_FIELDS"].startswith("'requests', 'tokens'")
    assert "'r' .. slot, 't' .. slot" in CONSTANTS["SLOT_FIELDS"]


def test_another_table_would_be_another_script():
    assert len(LIMITER_SCRIPTS) == len({script.sha for script in LIMITER_SCRIPTS})
