"""The rule for names."""

import pytest

from ratelimit.accounts.names import checked_name
from ratelimit.limits import MAX_NAME_BYTES


@pytest.mark.parametrize(
    "name", ["lgy", "a b", "team/lgy", "naïve 水", "a%2Fb", '"quoted"', "..", "a\u00a0b", "😀", "x" * 256, "水" * 85]
)
def test_names_that_people_can_tell_apart_are_allowed(name: str):
    assert name == checked_name(name)


INVISIBLE = [
    "\0", "\n", "\t", "\x7f", "\x85", "\u00ad", "\u034f", "\u061c", "\u115f", "\u180e", "\u200b", "\u200d", "\u200e",
    "\u202a", "\u202e", "\u2028", "\u2060", "\u2066", "\u2069", "\u2800", "\u3164", "\ufe0f", "\ufeff", "\uffa0",
    "\ud800", "\U000e0041",
]  # fmt: skip


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("template", ["a{}b", "{}a", "a{}", "{}"])
def test_a_character_that_nobody_sees_is_an_error_wherever_it_stands(template: str, character: str):
    with pytest.raises(ValueError, match="must not contain control, bidi or zero-width characters"):
        checked_name(template.format(character))


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u2003", "\u3000"], ids=ascii)
def test_a_blank_at_either_end_is_an_error_because_http_removes_it(blank: str):
    for name in (f"{blank}a", f"a{blank}", blank):
        with pytest.raises(ValueError, match="must not begin or end with a blank"):
            checked_name(name)


@pytest.mark.parametrize("name", ["a,b", ",", "a, b", "lgy,"])
def test_a_comma_is_an_error_because_two_headers_are_joined_by_one(name: str):
    with pytest.raises(ValueError, match="must not contain a comma"):
        checked_name(name)


@pytest.mark.parametrize("name", ["", "x" * (MAX_NAME_BYTES + 1), "水" * 86])
def test_a_name_has_1_to_256_bytes(name: str):
    with pytest.raises(ValueError, match="must be 1 to 256 bytes of UTF-8"):
        checked_name(name)
