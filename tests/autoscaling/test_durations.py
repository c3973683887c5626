"""Durations as Go writes them."""

import pytest

from autoscaling.durations import duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("1h30m", 5400), ("100ms", 0.1), ("0s", 0), ("0", 0), ("1.5s", 1.5), (".5m", 30)],
)
def test_durations_are_those_of_go(text: str, seconds: float):
    assert seconds == pytest.approx(duration_s(text))


@pytest.mark.parametrize("text", ["", "30", "m", "5 s", "1d", "-1s", "s5", "1e3s", "NaN", "."])
def test_other_texts_are_no_durations(text: str):
    with pytest.raises(ValueError, match="must be a duration"):
        duration_s(text)
