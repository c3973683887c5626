"""Metrics of several sources over several windows, and those that are missing."""

from autoscaling.metering import Meters, kept
from autoscaling.spec import Source, SourceKind
from tests.support.observations import seen

RUNNING, OTHER = Source(SourceKind.POD, "running", 10.0), Source(SourceKind.POD, "other", 1.0)


def test_each_source_has_the_mean_of_each_window():
    meters = Meters([RUNNING], (60.0, 10.0))
    for now_s, value in ((0, 10), (30, 20), (59, 60)):
        meters.observe(seen(now_s, 1, value))

    assert [(RUNNING, (30.0, 60.0))] == meters.means(59) and "" == meters.missing


def test_a_source_that_is_missing_has_no_mean_and_is_named():
    meters = Meters([RUNNING, OTHER], (60.0,))
    meters.observe(seen(0, 1, 5))

    assert [(RUNNING, (5.0,))] == meters.means(0) and "other" == meters.missing


def test_zero_is_a_value():
    meters = Meters([RUNNING], (60.0,))
    meters.observe(seen(0, 1, 0))

    assert [(RUNNING, (0.0,))] == meters.means(0)


def test_a_state_is_restored_and_other_sources_are_left_out():
    before, after = Meters([RUNNING, OTHER], (60.0, 10.0)), Meters([RUNNING], (60.0, 10.0))
    before.observe(seen(0, 1, 5))
    after.restore(before.state())
    after.observe(seen(10, 1, 15))

    assert [(RUNNING, (10.0, 15.0))] == after.means(10)


def test_what_is_kept_is_what_is_ready_or_starts():
    decision = kept(seen(5, 2, starting=1), "running", 10.0)

    assert (3, 15.0, "no value of running") == (decision.desired, decision.next_s, decision.missing)
