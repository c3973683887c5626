"""Hashes of prompt blocks."""

import pytest

from routing.prefix.blocks import BLOCK_BYTES, FIRST_BYTES, block_hashes, key_digest

KEY = 0x1234
PROMPT = bytes(range(256)) * 8


def test_a_block_covers_all_before_it() -> None:
    changed = b"x" + PROMPT[1:]

    assert set(block_hashes(KEY, PROMPT, "m")).isdisjoint(block_hashes(KEY, changed, "m"))


def test_prompts_that_begin_alike_share_their_first_blocks() -> None:
    whole, half = (
        block_hashes(KEY, PROMPT, "m"),
        block_hashes(KEY, PROMPT[: FIRST_BYTES + BLOCK_BYTES] + b"else" * 200, "m"),
    )

    assert whole[:2] == half[:2]
    assert set(whole[2:]).isdisjoint(half[2:])


def test_only_full_blocks_count_and_the_first_is_short() -> None:
    lengths = [FIRST_BYTES - 1, FIRST_BYTES, FIRST_BYTES + BLOCK_BYTES - 1, FIRST_BYTES + BLOCK_BYTES]

    assert [len(block_hashes(KEY, PROMPT[:length], "m")) for length in lengths] == [0, 1, 1, 2]


@pytest.mark.parametrize("other", [("adapter",), ("base", "tenant"), ("basetenant",)])
def test_models_adapters_and_tenants_share_nothing(other: tuple[str, ...]) -> None:
    assert set(block_hashes(KEY, PROMPT, "base", "")).isdisjoint(block_hashes(KEY, PROMPT, *other))


def test_hashes_fit_60_bits() -> None:
    assert all(0 <= block < 2**60 for block in block_hashes(KEY, PROMPT * 100, "m"))


def test_replicas_with_one_key_agree_and_others_share_nothing() -> None:
    blocks = block_hashes(KEY, PROMPT, "m", "tenant")

    assert [0xBFE6FFADBE3D399, 0xB7AEB10093C6B5F] == blocks  # on every machine, in every version of this format
    assert set(blocks).isdisjoint(block_hashes(KEY + 1, PROMPT, "m", "tenant"))
    assert key_digest(KEY) != key_digest(KEY + 1)


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_any_key_of_64_bits_and_any_salt_will_do(key: int) -> None:
    assert 2 == len(set(block_hashes(key, PROMPT[: FIRST_BYTES + BLOCK_BYTES], "m\0", "\udc80 \u00e9")))
