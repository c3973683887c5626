"""Times of windows: the last that was heard, and the beginning of idleness."""

from optimizer.planning.hearing import Heard
from traffic.window import Window


def heard(*windows: Window) -> Heard:
    times = Heard()
    for window in windows:
        times.take(window)
    return times


def a_window(starts_at_s: float, arrivals: int = 0, **others: int) -> Window:
    return Window(10.0, arrivals, starts_at_s=starts_at_s, **others)


def test_nothing_heard_is_no_idleness():
    assert 0.0 == Heard().idle_s
    assert "no traces" in (Heard().silence(1000.0, 60.0) or "")


def test_silence_begins_when_the_last_window_is_too_old():
    times = heard(a_window(100.0, 3))

    assert times.silence(170.0, 60.0) is None
    assert "the last trace ended 61 s ago, more than 60 s: gateways or Redis are away" == times.silence(171.0, 60.0)


def test_a_model_is_idle_from_its_last_request_on():
    busy, rest = a_window(100.0, 1), [a_window(110.0), a_window(120.0)]

    assert [0.0, 20.0] == [heard(busy).idle_s, heard(busy, *rest).idle_s]
    assert 30.0 == heard(a_window(100.0), *rest).idle_s, "the first window counts whole"
    assert 0.0 == heard(busy, *rest, a_window(130.0, 1)).idle_s


def test_requests_that_still_run_or_wait_are_load():
    assert [0.0, 0.0] == [heard(a_window(0.0), a_window(10.0, **{of: 1})).idle_s for of in ("in_flight", "queued")]
