"""Waits between attempts that fail: exponential, jittered, bounded.

Lives here: the arithmetic.  Not here: what is attempted.  "Equal jitter" of the AWS Architecture Blog's "Exponential
Backoff and Jitter" (2015): half of the wait is fixed, so that no attempt follows at once, and half random, so that the
clients of a server that comes back do not come together.
"""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits after 1, 2, 3, ... failures in a row."""

    first_s: float
    cap_s: float

    def wait_s(self, failures: int, rng: Random) -> float:
        """Return how long to wait after so many failures in a row, which must be at least 1, in seconds."""
        longest = self.first_s * 2.0 ** min(failures - 1, 60)  # 60: far above any cap, and no overflow
        return min(longest, self.cap_s) * (1 + rng.random()) / 2
