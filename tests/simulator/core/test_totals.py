import pytest

from simulator.core.totals import Totals


def test_gaps_are_counted_in_steps_and_summed_exactly():
    totals = Totals()
    totals.add_gaps(0.01234, 2)
    totals.add_gaps(0.01239, 1)

    assert {123: 3} == totals.gaps
    assert 0.03707 == pytest.approx(totals.gaps_s)
