"""Arrivals from windows of traffic."""

import pytest

from autoscaling.arrivals import Seen, arrivals_of, seen_of
from autoscaling.spec import Target
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


def test_at_first_the_last_window_counts_and_then_all_that_are_new() -> None:
    windows = [WINDOW, Window(10.0, 5, queued=4, starts_at_s=10.0, sent={"a": 1, "b": 3})]

    first, both = seen_of(windows, None), seen_of(windows, -10.0)
    assert first.arrivals is not None and both.arrivals is not None
    assert (5, 8, 4.0, 10.0) == (first.arrivals.requests, both.arrivals.requests, first.queued, first.last_s)
    assert 1.0 == seen_of(windows, None, Target("apps/v1", "Deployment", "a", "n")).queued
    assert Seen(None, None, 10.0) == seen_of([], 10.0)


def test_prompts_of_which_a_part_is_not_told_are_unknown() -> None:
    assert arrivals_of([WINDOW, Window(10.0, 1)]).input_tokens is None
