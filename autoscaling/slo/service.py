"""The service time of a request as a function of the requests that a pod computes at once.

It is kept per output token, so that it holds for other lengths of answers.

Lives here: the learned curve.  Not here: where it ends (concurrency).
"""

import math
from dataclasses import dataclass

import msgspec

OLD = 0.7
"""Weight of the old mean against a new sample of the same concurrency (chosen)."""
FLOOR = 0.3
"""No concurrency is faster than this share of the service time at the largest one seen (chosen)."""
HOPE = 0.5
"""Beyond what was seen, the hopeful curve has this share of the exponent: without it replicas are bought before
anything is known (a ramp cost 0.3 replicas more in trials)."""
HALF = 4.0
"""Running requests that double the service time of an idle pod, as long as one concurrency alone was seen (chosen:
engines take more; without it a pod with one request would be full, and nothing would shrink)."""
STRANGE, MOST_STRANGE = 0.3, 12
"""A sample that differs from what is known by this share is strange; so many in a row, a minute, are another engine or
model, and the curve is learned anew (chosen)."""
MOST_SEEN = 4096
"""Largest concurrency that is kept apart."""


@dataclass(frozen=True, slots=True)
class Curve:
    """S(b) = s0 (b / b0)^exponent seconds, never below FLOOR x s0."""

    s0: float
    b0: float
    exponent: float

    def seconds(self, running: float) -> float:
        """Return the service time where a pod computes so many requests."""
        return self.s0 * max(FLOOR, math.pow(running / self.b0, self.exponent))


class Service(msgspec.Struct):
    """Service times per output token, by whole numbers of running requests."""

    seen: dict[int, tuple[float, float]] = {}
    """Mean in seconds, and weight."""
    strange: int = 0

    def observe(self, running: float, seconds: float, weight: float) -> bool:
        """Take over a sample; return whether everything that was known has been dropped for it."""
        at = min(MOST_SEEN, max(1, round(running)))
        mean, old = self.seen.get(at, (seconds, 0.0))
        self.strange = self.strange + 1 if abs(seconds - mean) > STRANGE * mean else 0
        changed = self.strange >= MOST_STRANGE
        if changed:
            self.seen, self.strange, mean, old = {}, 0, seconds, 0.0
        total = OLD * old + weight
        self.seen[at] = mean + (seconds - mean) * weight / total, total
        return changed

    @property
    def most(self) -> int:
        """The largest concurrency seen, 0 = none."""
        return max(self.seen, default=0)

    def curve(self, output_tokens: float, hope: float = 1.0) -> Curve | None:
        """Return the curve through the upper half of what was seen, its exponent multiplied by `hope`.

        Its exponent is that of the straight line through them, at their centre; None = nothing was seen.
        """
        upper = [(b, s, weight) for b, (s, weight) in self.seen.items() if b >= self.most / 2]
        if not upper:
            return None
        total = sum(weight for _, _, weight in upper)
        b0 = sum(b * weight for b, _, weight in upper) / total
        s0 = sum(s * weight for _, s, weight in upper) / total
        spread = sum(weight * (b - b0) ** 2 for b, _, weight in upper)
        rise = sum(weight * (b - b0) * (s - s0) for b, s, weight in upper)
        steepness = rise / spread * b0 / s0 if spread > total / 100 else b0 / (b0 + HALF)
        exponent = min(1.0, max(0.0, steepness))
        top = Curve(s0, b0, exponent).seconds(self.most)
        return Curve(top * output_tokens, self.most, exponent * hope)
