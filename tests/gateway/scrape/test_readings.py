"""What an engine says of itself."""

import pytest

from gateway.scrape.readings import NOTHING, Readings


@pytest.mark.parametrize(
    ("before", "after", "restarted"),
    [
        (Readings(started_s=1.0), Readings(started_s=1.0), False),
        (Readings(started_s=1.0), Readings(started_s=2.0), True),
        (Readings(prompts=10), Readings(prompts=10), False),
        (Readings(prompts=10), Readings(prompts=3), True),
        (Readings(started_s=1.0, prompts=10), Readings(started_s=1.0, prompts=3), False),
        (NOTHING, Readings(started_s=2.0, prompts=3), False),
        (Readings(started_s=2.0, prompts=3), NOTHING, False),
    ],
)
def test_another_start_or_a_counter_that_goes_back_is_a_restart(
    before: Readings, after: Readings, restarted: bool
) -> None:
    assert after.restarted_since(before) is restarted
