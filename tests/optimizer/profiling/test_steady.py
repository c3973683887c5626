"""The steady state: what counts, and the measures of it."""

from itertools import islice
from random import Random

import pytest

from optimizer.profiling.points import Load, Point
from optimizer.profiling.steady import BLOCK, Answer, Span, Steady, gaps, statistics

LOAD = Load(16, 11, 2.0)


def driven(span: Span, *, load: Load = LOAD, first_s: float = 1.0, then_s: float = 3.0) -> tuple[Point, float]:
    """Requests arrive each half second; the first 8 take `first_s`, the others `then_s`.  Point and end."""
    steady = Steady(load, span)
    answers = sorted(
        (Answer(n / 2, n / 2 + 0.1, n / 2 + (first_s if n < 8 else then_s), 11) for n in range(400)),
        key=lambda answer: answer.ended_s,
    )
    arrived = 0
    for answer in answers:
        while arrived / 2 <= answer.ended_s:
            steady.sent()
            arrived += 1
        steady.ended(answer)
        if steady.is_over(answer.ended_s):
            return steady.point(answer.ended_s), answer.ended_s
    raise AssertionError("never over")


def test_the_warm_up_does_not_count():
    point, _ = driven(Span(samples=100))

    assert 3.0 == pytest.approx(point.mean("E2E"))
    assert 2.0 == pytest.approx(point.mean("TPUT"))
    assert 2.0 == pytest.approx(point.arrival_rate, rel=0.03)
    assert not point.is_backlogged


def test_a_fixed_warm_up_and_window_are_kept():
    point, ended_s = driven(Span(warm_up_s=40, window_s=30))

    assert 70 <= ended_s <= 71.5
    assert (2.0, 22.0) == pytest.approx((point.mean("TPUT"), point.mean("TT")), rel=0.04)
    assert (0.1, 0.29) == pytest.approx((point.mean("TTFT"), point.mean("TPOT")))


def test_the_window_is_as_long_as_a_request_takes():
    steady = Steady(LOAD, Span(samples=10))
    for round_s in range(0, 60, 10):  # 20 start together and end together
        for _ in range(20):
            steady.sent()
        for _ in range(20):
            steady.ended(Answer(float(round_s), round_s + 1.0, round_s + 10.0, 11))
        if steady.is_over(round_s + 10.0):
            break

    assert 2.0 == pytest.approx(steady.point(round_s + 10.0).mean("TPUT"), rel=0.1)


def test_too_many_under_way_end_the_run_with_a_backlog():
    steady = Steady(LOAD, Span(most_in_flight=20))
    for _ in range(21):
        steady.sent()

    assert steady.is_over(10.0)
    assert steady.point(10.0).is_backlogged
    assert 10.0 == steady.point(10.0).mean("TTFT")  # at least


def test_a_run_that_takes_far_too_long_ends_with_a_backlog():
    steady = Steady(LOAD, Span(samples=10))
    for n in range(9):
        steady.sent()
        steady.ended(Answer(n, n + 0.5, n + 1.0, 11))

    assert not steady.is_over(34.0)
    assert steady.is_over(36.0)  # 10 / 2 s and 30 x 1 s
    assert steady.point(36.0).is_backlogged


def test_a_closed_loop_has_the_throughput_of_its_times():
    point, _ = driven(Span(samples=100), load=Load(16, 11, concurrency=4))

    assert 4.0 / point.mean("E2E") == pytest.approx(point.mean("TPUT"))
    assert point.mean("TPUT") == point.load.rate
    assert point.arrival_rate is None


def test_arrivals_have_their_rate_in_every_block_and_are_random_within():
    found = list(islice(gaps(4.0, Random(1)), 10 * BLOCK))

    assert [pytest.approx(BLOCK / 4.0)] * 10 == [sum(found[at : at + BLOCK]) for at in range(0, len(found), BLOCK)]
    assert 0.7 < (sum(gap * gap for gap in found) / len(found) * 16 - 1) < 1.3  # an exponential's variance
    assert found == list(islice(gaps(4.0, Random(1)), 10 * BLOCK))


def test_statistics():
    values = [float(n % 10) for n in range(1000)]

    found = statistics(values)

    assert {"mean", "stderr", "P50", "P75", "P90", "P95", "P99"} == set(found)
    assert (4.5, 0.0, 4.5, 9.0) == pytest.approx((found["mean"], found["stderr"], found["P50"], found["P99"]), abs=0.51)
    assert "stderr" not in statistics([1.0, 2.0])  # too few for groups
    assert 0.1 < statistics([n / 10 for n in range(100)])["stderr"]  # values that drift are uncertain
