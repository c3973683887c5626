"""Hashes of prompt blocks."""

import pytest

from routing.prefix.blocks import BLOCK_BYTES, FIRST_BYTES, block_hashes

PROMPT = bytes(range(256)) * 8


def test_a_block_covers_all_before_it() -> None:
    changed = b"x" + PROMPT[1:]

    assert set(block_hashes(PROMPT, "m")).isdisjoint(block_hashes(changed, "m"))


def test_prompts_that_begin_alike_share_their_first_blocks() -> None:
    whole, half = block_hashes(PROMPT, "m"), block_hashes(PROMPT[: FIRST_BYTES + BLOCK_BYTES] + b"else" * 200, "m")

    assert whole[:2] == half[:2]
    assert set(whole[2:]).isdisjoint(half[2:])


def test_only_full_blocks_count_and_the_first_is_short() -> None:
    lengths = [FIRST_BYTES - 1, FIRST_BYTES, FIRST_BYTES + BLOCK_BYTES - 1, FIRST_BYTES + BLOCK_BYTES]

    assert [len(block_hashes(PROMPT[:length], "m")) for length in lengths] == [0, 1, 1, 2]


@pytest.mark.parametrize("other", [("adapter",), ("base", "tenant"), ("basetenant",)])
def test_models_adapters_and_tenants_share_nothing(other: tuple[str, ...]) -> None:
    assert set(block_hashes(PROMPT, "base", "")).isdisjoint(block_hashes(PROMPT, *other))


def test_hashes_fit_60_bits() -> None:
    assert all(0 <= block < 2**60 for block in block_hashes(PROMPT * 100, "m"))
