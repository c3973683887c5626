"""Rises: the largest within each time, remembered while demand moves and forgotten where it is quiet."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaling.slo.rises import BUCKET_AGE, BUCKETS, QUIET_SLOTS, Rises


def observe(*values: float, falls_count: bool = False) -> Rises:
    rises, means = Rises(), []
    for value in values:
        means.append(value)
        rises.observe(means, 0.05 * max(means), falls_count=falls_count)
    return rises


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_the_largest_rise_within_each_time_is_known(values):
    rises = observe(*values)

    for ahead in range(1, len(values)):
        pairs = [(i, j) for j in range(len(values)) for i in range(max(0, j - ahead), j)]
        assert max((max(0.0, values[j] - values[i]) for i, j in pairs), default=0.0) == rises.largest[ahead]


def test_before_any_rise_was_seen_what_fell_may_rise():
    assert (0, 3) == (observe(5, 4, 2).largest[2], observe(5, 4, 2, falls_count=True).largest[2])


def test_a_step_is_forgotten_after_quiet_minutes():
    quiet = int(QUIET_SLOTS + BUCKETS * BUCKET_AGE)

    assert 6 == observe(2, *[8] * int(BUCKET_AGE * (BUCKETS - 1))).largest[1]
    assert 0 == observe(2, *[8] * (quiet + 1)).largest[1]


def test_a_rise_is_remembered_while_demand_moves():
    moving = [8 + (slot % 168 - 84) / 20 for slot in range(300)]

    assert 6 <= max(observe(1, *moving).largest)
