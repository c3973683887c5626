"""Windows over the past: the mean of a metric, and the largest and smallest recommendation of late.

Lives here: what is remembered, and how it ages.  Not here: what is recorded (readings, strategies).  A window of w
seconds at `now` holds what was recorded in (now - w, now], as Knative's buckets of a second do.
"""

from collections import deque
from collections.abc import Iterable
from math import floor

_DIGITS = 1e6
"""Means are rounded to six digits, so that noise of additions does not order a replica (Knative's aggregation)."""

Samples = list[tuple[float, float]]
"""Times and values, oldest first."""
Seconds = list[tuple[int, float, int]]
"""Seconds, with the sums and counts of their values, oldest first."""


class MeanWindow:
    """The mean of what was recorded of late; a second counts once, with the mean of its values."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._seconds: deque[tuple[int, float, int]] = deque()  # second, sum and count of its values; at most window_s

    def record(self, now_s: float, value: float) -> None:
        """Add a value.  Amortised O(1)."""
        second = floor(now_s)
        if self._seconds and self._seconds[-1][0] >= second:
            last, total, count = self._seconds.pop()
            self._seconds.append((last, total + value, count + 1))
        else:
            self._seconds.append((second, value, 1))
        self._forget(now_s)

    def mean(self, now_s: float) -> float | None:
        """Return the mean of the window, None where nothing was recorded in it.  O(seconds of the window)."""
        self._forget(now_s)
        if not self._seconds:
            return None
        mean = sum(total / count for _, total, count in self._seconds) / len(self._seconds)
        return floor(mean * _DIGITS + 0.5) / _DIGITS

    def state(self) -> Seconds:
        """Return what is remembered."""
        return list(self._seconds)

    def restore(self, seconds: Iterable[tuple[int, float, int]]) -> None:
        """Take over what `state` returned."""
        self._seconds = deque(seconds)

    def _forget(self, now_s: float) -> None:
        while self._seconds and floor(now_s) - self._seconds[0][0] >= self.window_s:
            self._seconds.popleft()


class PeakWindow:
    """The largest value that was recorded of late; `sign` -1 makes it the smallest."""

    def __init__(self, window_s: float, sign: int = 1) -> None:
        self._window_s, self._sign = window_s, sign
        self._peaks: deque[tuple[float, float]] = deque()  # times and falling values: what may be the largest once

    def record(self, now_s: float, value: float) -> None:
        """Add a value.  Amortised O(1)."""
        while self._peaks and self._peaks[-1][1] * self._sign <= value * self._sign:
            self._peaks.pop()
        self._peaks.append((now_s, value))

    def peak(self, now_s: float, value: float) -> float:
        """Return the largest of the window and `value`, which is the one of now."""
        while self._peaks and now_s - self._peaks[0][0] >= self._window_s:
            self._peaks.popleft()
        if not self._peaks:
            return value
        return max(value * self._sign, self._peaks[0][1] * self._sign) * self._sign

    def state(self) -> Samples:
        """Return what may still be a peak: at most as many values as there are different ones."""
        return list(self._peaks)

    def restore(self, samples: Iterable[tuple[float, float]]) -> None:
        """Take over what `state` returned."""
        self._peaks = deque(samples)
