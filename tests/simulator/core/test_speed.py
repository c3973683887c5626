import pytest

from simulator.core.speed import Chunks, FittedSpeed, LinearSpeed, ScaledSpeed, steady

A_CHUNK = Chunks(prefills=1, new_tokens=10, context_tokens=100, attended_tokens=1055)


@pytest.mark.parametrize(
    ("coefficient", "expected"),
    [("a", 1), ("b", 2 + 10), ("c", 50 + 1055), ("d", 50 + 100), ("e", 2 + 1)],
)
def test_each_coefficient_weighs_what_it_says(coefficient: str, expected: int):
    speed = LinearSpeed(**(dict.fromkeys("abcde", 0.0) | {coefficient: 1.0}))

    assert expected == speed.pass_s(2, 50, A_CHUNK)


def test_a_fit_adds_both_kinds_of_work():
    speed = FittedSpeed(prefill=(1.0, 2.0, 3.0), decode=(4.0, 5.0, 6.0), kv_tokens=100)

    assert 0.123 == pytest.approx(speed.pass_s(0, 0, A_CHUNK))
    assert 0.0095 == pytest.approx(speed.pass_s(2, 50))
    assert 0.1325 == pytest.approx(speed.pass_s(2, 50, A_CHUNK))


def test_a_scaled_speed_is_so_many_times_as_fast():
    assert 0.5 == ScaledSpeed(LinearSpeed(1.0, 0.0, 0.0, 0.0, 0.0), 2.0).pass_s(1, 10)


def test_a_steady_speed_does_not_depend_on_the_work():
    speed = steady(50)

    assert [0.02, 0.02] == [speed.pass_s(1, 10), speed.pass_s(100, 10_000, Chunks(1, 500, 0, 9000))]
