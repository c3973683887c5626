"""The readings of an engine: what it says of itself."""

import pytest

from gateway.discovery.probing.readings import NOTHING, Readings
from routing.pods.engine_totals import EngineTotals

MANY, FEW = EngineTotals(prompt_tokens=10), EngineTotals(prompt_tokens=3)


@pytest.mark.parametrize(
    ("before", "after", "restarted"),
    [
        (Readings(started_s=1.0), Readings(started_s=1.0), False),
        (Readings(started_s=1.0), Readings(started_s=2.0), True),
        (Readings(totals=MANY), Readings(totals=MANY), False),
        (Readings(totals=MANY), Readings(totals=FEW), True),
        (
            Readings(started_s=1.0, totals=MANY),
            Readings(started_s=1.0, totals=FEW),
            False,
        ),
        (NOTHING, Readings(started_s=2.0, totals=FEW), False),
        (Readings(started_s=2.0, totals=FEW), NOTHING, False),
    ],
)
def test_another_start_or_a_counter_that_goes_back_is_a_restart(
    before: Readings, after: Readings, restarted: bool
) -> None:
    assert after.restarted_since(before) is restarted
