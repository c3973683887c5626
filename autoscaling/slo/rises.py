"""Rises of demand: the largest within each number of slots, forgotten where demand has long been quiet.

Lives here: rises.  Not here: the demand itself (demand).
"""

from collections.abc import Sequence

import msgspec

MOST_AHEAD = 160
"""Slots ahead that a rise is known for: start-up times of up to ten minutes."""
BUCKETS, BUCKET_AGE = 5, 18.0
"""The memory: 72 to 90 quiet slots, six to seven and a half minutes (chosen: a staircase of six-minute steps
is remembered, a single step stops to cost after this)."""
QUIET_SLOTS = 24
"""A slot is quiet where demand differs little from that of two minutes ago."""
MOVING_AGE = 0.1
"""Quiet slots that a slot with moving demand counts as."""


def _nothing() -> list[float]:
    return [0.0] * (MOST_AHEAD + 1)


class Rises(msgspec.Struct):
    """The largest rise within 0, 1, ... MOST_AHEAD slots, in requests per second."""

    buckets: list[list[float]] = msgspec.field(default_factory=lambda: [_nothing()])
    """The oldest first."""
    largest: list[float] = msgspec.field(default_factory=_nothing)
    """The largest of all buckets."""
    age: float = 0.0
    """Age of the newest bucket, in quiet slots."""

    def observe(self, means: Sequence[float], quiet_change: float, *, falls_count: bool) -> None:
        """Take over the newest of `means`; a change of up to `quiet_change` in two minutes is quiet.

        Where `falls_count`, what fell may rise as much: before any rise was seen a fall is all that is known.
        """
        self._grow_older(means, quiet_change)
        now = least = most = means[-1]
        newest, largest = self.buckets[-1], self.largest
        for ahead in range(1, MOST_AHEAD + 1):
            if ahead < len(means):
                least, most = min(least, means[-1 - ahead]), max(most, means[-1 - ahead])
            change = max(now - least, most - now) if falls_count else now - least
            if change > newest[ahead]:
                newest[ahead] = change
                largest[ahead] = max(largest[ahead], change)

    def _grow_older(self, means: Sequence[float], quiet_change: float) -> None:
        if len(means) > QUIET_SLOTS:
            quiet = abs(means[-1] - means[-1 - QUIET_SLOTS]) <= quiet_change
            self.age += 1.0 if quiet else MOVING_AGE
        if self.age >= BUCKET_AGE:
            self.age = 0.0
            self.buckets.append(_nothing())
            del self.buckets[:-BUCKETS]
            self.largest = [max(each) for each in zip(*self.buckets, strict=True)]
