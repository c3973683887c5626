"""The control of the prefill share: its direction, the size of its steps, its bounds."""

import pytest

from routing.pods.prefill_share import (
    MAX_PREFILL_SHARE,
    MIN_PREFILL_SHARE,
    PROPORTIONAL_BELOW,
    agreed_share,
    next_share,
)

TARGET_S = 0.042


@pytest.mark.parametrize(
    ("itl_s", "expected"), [(0.0, 0.6), (TARGET_S / 2, 0.55), (TARGET_S, 0.5), (2 * TARGET_S, 0.4), (9.0, 0.4)]
)
def test_the_step_is_as_large_as_the_headroom(itl_s: float, expected: float) -> None:
    assert next_share(0.5, itl_s, TARGET_S, 0.1) == pytest.approx(expected)


def test_a_small_share_changes_by_small_steps() -> None:
    assert next_share(PROPORTIONAL_BELOW / 5, 0.0, TARGET_S, 0.1) == pytest.approx(PROPORTIONAL_BELOW / 5 + 0.02)


def test_the_share_has_bounds() -> None:
    assert [MAX_PREFILL_SHARE, MIN_PREFILL_SHARE] == [
        next_share(MAX_PREFILL_SHARE, 0.0, TARGET_S, 0.1), next_share(MIN_PREFILL_SHARE, 9.0, TARGET_S, 0.1),
    ]  # fmt: skip


def test_replicas_meet_in_the_middle_whatever_one_tells() -> None:
    assert agreed_share(0.5, 0.9) == pytest.approx(0.7)
    assert agreed_share(0.25, 1e12) == (0.25 + MAX_PREFILL_SHARE) / 2
