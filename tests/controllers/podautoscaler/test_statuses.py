"""Statuses: what a look changes, and when that is worth writing."""

from controllers.podautoscaler.conditions import ACTIVE, CONFLICT, Said, conditions
from controllers.podautoscaler.objects import ScalingDecision, ScheduledBounds, Status
from controllers.podautoscaler.statuses import KEPT, REWORD_S, Look, after, is_due

NOW_S = 1_800_000_000.0


def a_change(new: int, *, success: bool = True) -> ScalingDecision:
    return ScalingDecision(f"2027-01-15T08:00:0{new}Z", 1, new, "KPA: because", success, "" if success else "no")


def a_look(message: str = "", *, desired: int | None = 2, change: ScalingDecision | None = None) -> Look:
    return Look(conditions({ACTIVE: Said("True", "MetricsAreThere", message)}), desired, 1, change)


def test_a_change_is_remembered_with_its_time_and_the_oldest_are_forgotten():
    status = Status()
    for new in range(KEPT + 2):
        status = after(status, a_look(change=a_change(new)), 1, NOW_S)

    assert [2, 3, 4, 5, 6] == [one.new_scale for one in status.scaling_history]
    assert "2027-01-15T08:00:06Z" == status.last_scale_time


def test_an_attempt_that_failed_is_told_once_and_is_no_scaling():
    first = after(Status(), a_look(change=a_change(2, success=False)), 1, NOW_S)
    again = a_change(2, success=False)

    second = after(first, a_look(change=ScalingDecision("2027-01-15T08:00:09Z", *again_fields(again))), 1, NOW_S)

    assert first.scaling_history == second.scaling_history
    assert second.last_scale_time is None


def again_fields(one: ScalingDecision) -> tuple[int, int, str, bool, str]:
    return one.previous_scale, one.new_scale, one.reason, one.success, one.error


def test_what_is_not_known_stays_but_bounds_end_with_their_schedules():
    before = after(Status(), a_look()._replace(bounds=ScheduledBounds(1, 2, "day")), 1, NOW_S)

    status = after(before, Look(conditions({})), 2, NOW_S)

    assert (2, 1, None) == (status.desired_scale, status.actual_scale, status.scheduled_bounds)
    assert {2} == {one.observed_generation for one in status.conditions}


def test_a_status_is_written_at_once_where_more_than_words_differ():
    written = after(Status(), a_look("3 wait"), 1, NOW_S)
    reworded = after(written, a_look("4 wait"), 1, NOW_S)
    changed = after(written, a_look("4 wait", desired=3), 1, NOW_S)

    holder = after(written, Look(conditions({CONFLICT: Said("True", "TargetIsTaken", "a")})), 1, NOW_S)
    another = after(holder, Look(conditions({CONFLICT: Said("True", "TargetIsTaken", "b")})), 1, NOW_S)

    assert is_due(holder, another, 0.0)  # nobody looks again at one that does nothing
    assert [False, False, True, True] == [
        is_due(written, written, REWORD_S),
        is_due(written, reworded, REWORD_S - 1),
        is_due(written, reworded, REWORD_S),
        is_due(written, changed, 0.0),
    ]
