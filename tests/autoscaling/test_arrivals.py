"""Arrivals from windows of traffic."""

import pytest

from autoscaling.arrivals import arrivals_of
from traffic.window import Window

WINDOW = Window(10.0, 3, {(80, 70): 2}, {80: 3})


def test_windows_are_added_up_and_a_share_of_them_is_a_targets() -> None:
    whole, half = (arrivals_of([WINDOW, WINDOW], share) for share in (1.0, 0.5))

    assert (6, 20.0, 6 * 256.0, 4 * 128.0) == (
        whole.requests, whole.duration_s, pytest.approx(whole.input_tokens), pytest.approx(whole.output_tokens),
    )  # fmt: skip
    assert (3, 20.0, 3 * 256.0, 2 * 128.0) == (
        half.requests, half.duration_s, pytest.approx(half.input_tokens), pytest.approx(half.output_tokens),
    )  # fmt: skip


def test_prompts_of_which_a_part_is_not_told_are_unknown() -> None:
    assert arrivals_of([WINDOW, Window(10.0, 1)]).input_tokens is None
