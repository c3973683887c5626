"""Windows: the mean and the extremes of the last seconds."""

from autoscaling.windows import MeanWindow, PeakWindow


def test_a_mean_is_of_the_seconds_within_the_window():
    window = MeanWindow(60)
    for now_s in range(0, 120, 10):
        window.record(now_s, now_s)

    assert 85 == window.mean(110) and 90 == window.mean(120) and window.mean(200) is None


def test_a_second_counts_once_however_often_it_is_read():
    window = MeanWindow(10)
    for now_s, value in ((0.1, 2), (0.5, 4), (0.9, 6), (1.0, 10)):
        window.record(now_s, value)

    assert 7 == window.mean(1.5)


def test_seconds_without_a_value_are_not_zero():
    window = MeanWindow(60)
    window.record(0, 10)
    window.record(30, 10)

    assert 10 == window.mean(31)


def test_a_clock_that_goes_back_does_not_confuse_the_order():
    window = MeanWindow(60)
    window.record(10, 1)
    window.record(9, 3)

    assert 2 == window.mean(10)


def test_noise_of_additions_is_rounded_away():
    window = MeanWindow(60)
    for now_s in range(10):
        window.record(now_s, 0.1)

    assert 0.1 == window.mean(9)


def test_peaks_age():
    largest, smallest = PeakWindow(10), PeakWindow(10, -1)
    for now_s, value in ((0, 5), (2, 3), (4, 4)):
        largest.record(now_s, value)
        smallest.record(now_s, value)

    assert (5, 3) == (largest.peak(9, 1), smallest.peak(9, 9))
    assert (4, 3) == (largest.peak(10, 1), smallest.peak(11, 9))
    assert (1, 9) == (largest.peak(14, 1), smallest.peak(14, 9))
    assert (6, 2) == (largest.peak(9, 6), smallest.peak(9, 2))


def test_states_are_restored():
    mean, peak = MeanWindow(60), PeakWindow(60)
    for now_s in range(5):
        mean.record(now_s, now_s)
        peak.record(now_s, -now_s)
    other_mean, other_peak = MeanWindow(60), PeakWindow(60)
    other_mean.restore(mean.state())
    other_peak.restore(peak.state())

    assert (2, 0) == (other_mean.mean(4), other_peak.peak(4, -9))
