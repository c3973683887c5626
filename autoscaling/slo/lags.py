"""Lags: demand as it was some time ago, each with the largest error that it would have made as a forecast.

So demand that repeats is foreseen, and how well is known; a lag that fits nothing has an error that says so.  A lag
says that demand will be between the lowest and the highest near that time, and errs by as much as it is outside.

Lives here: lags and their errors.  Not here: the demand itself (demand).
"""

from collections.abc import Sequence
from operator import add

import msgspec

MOST_LAG = 720
"""Longest lag in slots: an hour.  The cost of a decision grows with it."""
NEAR = 3
"""Slots to either side of a lag that count as near.  (Errors against the highest alone made waves of 80 s look like
bad forecasts of themselves: 0.8 replicas more, and 0.5 with bursts of a minute.)"""
FIT = 0.6
"""A lag counts when it is at most this share of the past: its error is that of a stretch two thirds as long.  (With a
half the second crest of a wave is met without knowing how long the first was; with two thirds lags that have seen one
step of a staircase say that there is no second one: 10 points where pods take 200 s to start.)"""
GENERATION = 1440
"""Errors are forgotten after one to two generations of slots: two to four hours."""


def _nothing() -> list[float]:
    return [0.0] * (MOST_LAG + 1)


class Lags(msgspec.Struct):
    """The largest error of each lag, upwards or downwards, in requests per second."""

    slots: int = 0
    highest: list[float] = []
    """The largest demand near each slot, the newest first: that of NEAR slots before the present one, and earlier."""
    lowest: list[float] = []
    """The smallest demand near each of these slots."""
    errors: list[float] = msgspec.field(default_factory=_nothing)
    """By lag, of this generation and the one before."""
    newest: list[float] = msgspec.field(default_factory=_nothing)
    """By lag, of this generation."""

    def observe(self, means: Sequence[float]) -> None:
        """Take over the newest of `means`."""
        self.slots += 1
        if self.slots % GENERATION == 0:
            self.errors, self.newest = self.newest, _nothing()
        if len(means) > 2 * NEAR:
            near = means[-1 - 2 * NEAR :]
            self.highest = [max(near), *self.highest[: MOST_LAG - NEAR]]
            self.lowest = [min(near), *self.lowest[: MOST_LAG - NEAR]]
        now, newest, errors = means[-1], self.newest, self.errors
        for lag, (high, low) in enumerate(zip(self.highest, self.lowest, strict=True), NEAR):
            error = now - high if now > high else low - now
            if error > newest[lag]:
                newest[lag] = error
                errors[lag] = max(errors[lag], error)

    def least(self, ahead: int) -> float:
        """Return the smallest demand, `ahead` slots from now, that some lag and its error allow; infinite = none does.

        A lag counts when its error is known well enough.
        """
        shortest, longest = ahead + NEAR, min(MOST_LAG, int(FIT * self.slots))
        return min(map(add, self.highest, self.errors[shortest : longest + 1]), default=float("inf"))
