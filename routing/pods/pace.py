"""How far apart a pod's tokens are, by how many requests it has: learned from looks at the engine's own sums.

Lives here: the line through what was seen, and where it reaches what is promised.  Not here: who is sent (overload).
"""

from math import inf

FADE = 0.97
"""Of an older look at each new one (chosen: a minute counts, when engines are looked at every two seconds)."""
LOOKS = 3
"""Before the line is believed (chosen)."""
NO_SPREAD = 1e-9
"""Looks at one number of requests give no line: relative to its square."""


class Pace:
    """Seconds of a pass without prompts = start + slope x requests: least squares, older looks fading."""

    __slots__ = ("_looks", "_sums")

    def __init__(self) -> None:
        self._looks = 0
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)  # of 1, requests, requests^2, seconds, requests x seconds

    def learn(self, requests: float, pass_s: float) -> None:
        """Between two looks the pod had so many requests, and a pass took so long."""
        self._looks += 1
        one, n, nn, s, ns = self._sums
        self._sums = (
            FADE * one + 1.0,
            FADE * n + requests,
            FADE * nn + requests * requests,
            FADE * s + pass_s,
            FADE * ns + requests * pass_s,
        )

    def max_batch_for_itl(self, itl_s: float) -> float:
        """Return how many requests at once keep tokens so close together; infinity while nothing says otherwise."""
        one, n, nn, s, ns = self._sums
        spread = one * nn - n * n
        if self._looks < LOOKS or spread <= NO_SPREAD * nn:
            return inf
        slope = (one * ns - n * s) / spread
        start_s = (s - slope * n) / one
        if slope <= 0:
            return inf
        if start_s < 0:  # what is seen bends upwards: a line from nothing is on the safe side
            return max(1.0, itl_s * n / s)
        return max(1.0, (itl_s - start_s) / slope)
