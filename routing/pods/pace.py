"""A pod's ITL as a function of its requests in flight, learned from the engine's totals.

Lives here: the fitted line, and the batch at which it reaches an ITL.  Not here: sending fewer requests
(routing.overload).
"""

from math import inf

DECAY = 0.97
"""Factor on the weight of older samples at each new one (chosen: at a scrape every 2 s, a minute of samples counts)."""
MIN_SAMPLES = 3
"""Samples before the line is used (chosen)."""
MIN_RELATIVE_VARIANCE = 1e-9
"""A smaller variance of the requests in flight, relative to their mean square, is rounding error and gives no line."""


class Pace:
    """Fits seconds of a pass without prefill = start + slope x requests: least squares, older samples decaying."""

    __slots__ = ("_samples", "_sums")

    def __init__(self) -> None:
        self._samples = 0
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)  # of 1, requests, requests^2, seconds, requests x seconds

    def learn(self, requests: float, pass_s: float) -> None:
        """Add a sample: the mean requests in flight between two scrapes, and the mean duration of a pass."""
        self._samples += 1
        one, n, nn, s, ns = self._sums
        self._sums = (
            DECAY * one + 1.0,
            DECAY * n + requests,
            DECAY * nn + requests * requests,
            DECAY * s + pass_s,
            DECAY * ns + requests * pass_s,
        )

    def max_batch_for_itl(self, itl_s: float) -> float:
        """Return the largest number of requests in flight with this ITL; infinity while no limit is known."""
        one, n, nn, s, ns = self._sums
        variance = one * nn - n * n
        if self._samples < MIN_SAMPLES or variance <= MIN_RELATIVE_VARIANCE * nn:
            return inf
        slope = (one * ns - n * s) / variance
        start_s = (s - slope * n) / one
        if slope <= 0:
            return inf
        if start_s < 0:  # the samples curve upwards: a line through the origin is on the safe side
            return max(1.0, itl_s * n / s)
        return max(1.0, (itl_s - start_s) / slope)
