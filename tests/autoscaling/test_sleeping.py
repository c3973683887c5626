"""The way to as many replicas as are wanted, where some may sleep."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaling.sleeping import Moves, moves

FEW = st.integers(0, 20)


def test_sleeping_replicas_come_before_new_ones():
    assert Moves(wake=1) == moves(2, awake=1, asleep=2, keep=2)
    assert Moves(wake=2, start=1) == moves(4, awake=1, asleep=2, keep=2)


def test_what_is_not_wanted_sleeps_as_far_as_there_is_room():
    assert Moves(sleep=1) == moves(1, awake=2, asleep=0, keep=1)
    assert Moves(sleep=1, end=2) == moves(1, awake=4, asleep=1, keep=2)
    assert Moves(end=2) == moves(1, awake=3, asleep=0, keep=0)


def test_with_less_room_some_that_sleep_end():
    assert Moves(end_asleep=2) == moves(1, awake=1, asleep=3, keep=1)


@given(desired=FEW, awake=FEW, asleep=FEW, keep=FEW)
def test_as_many_as_are_wanted_are_awake_and_no_more_than_may_sleep(desired: int, awake: int, asleep: int, keep: int):
    done = moves(desired, awake, asleep, keep)

    assert desired == awake + done.wake + done.start - done.sleep - done.end
    assert 0 <= asleep - done.wake + done.sleep - done.end_asleep <= max(keep, 0)
    assert not (done.start and asleep - done.wake)
    assert not ((done.wake or done.start) and (done.sleep or done.end))
