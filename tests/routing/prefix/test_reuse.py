"""The chance that a block is reused."""

import random

import pytest

from routing.prefix.reuse import MAX_TRACKED, SAMPLE_ONE_IN, Reuse


def test_before_anything_is_learned_a_block_is_worth_keeping() -> None:
    assert Reuse().chance(1000.0) == 1.0


def test_what_always_comes_back_within_a_while_is_not_expected_after_it() -> None:
    reuse = Reuse()
    for turn in range(100):
        reuse.observe(
            (block * SAMPLE_ONE_IN for block in range(turn % 10, 200, 10)), now_s=float(turn)
        )  # each every 10 s

    assert reuse.chance(0.5) > 0.9
    assert reuse.chance(100.0) < 0.1


def test_the_chance_is_the_share_that_comes_back() -> None:
    reuse, rng, fresh = Reuse(), random.Random(1), 0
    for turn in range(4000):  # of the blocks seen, three in ten are asked for again, 8 s later
        again = [block for block in range(fresh - 16, fresh - 14) if rng.random() < 0.3]
        reuse.observe((block * SAMPLE_ONE_IN for block in (*again, fresh, fresh + 1)), now_s=float(turn))
        fresh += 2

    assert reuse.chance(1.0) == pytest.approx(0.3 / 1.3, abs=0.03)  # those asked for again are then not asked for again
    assert reuse.chance(60.0) < 0.02


def test_only_a_sample_is_tracked_and_its_size_is_bounded() -> None:
    reuse = Reuse()
    reuse.observe(range(SAMPLE_ONE_IN * (MAX_TRACKED + 500)), now_s=0.0)

    assert len(reuse._used) == MAX_TRACKED


@pytest.mark.parametrize("age_s", [0.0, 1e-9, 1e9, -5.0])
def test_every_age_has_a_chance(age_s: float) -> None:
    assert 0.0 <= Reuse().chance(age_s) <= 1.0
