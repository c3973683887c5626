"""Made-up traffic in three shapes, for replays without a trace: short chat, long prompts, waves with bursts.

Arrivals are a Poisson process whose rate may change; lengths are log-normal, as published traces about are (Azure,
BurstGPT).  The numbers are chosen: they tell GPU types apart and are no model of anybody's traffic.

Lives here: the shapes.  Not here: traces of others (traces).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import cos, log, pi
from random import Random

from simulator.replay.traces import TraceRequest

RATE = 6.0
"""Requests per second, on average."""
LONG_SHARE = 0.1
"""Part of the requests that have long prompts, in the shape of that name."""
STEADY_S, WAVES_S = 1200.0, 3600.0
"""Durations."""
WAVE_S = 1800.0
"""Period of the waves: a day in little."""
BURST_S, BURST_EVERY_S, BURST_FACTOR = 60.0, 600.0, 2.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal length in tokens, kept within bounds."""

    median: float
    sigma: float
    least: int
    most: int

    def draw(self, rng: Random) -> int:
        """Return a length."""
        return round(min(max(rng.lognormvariate(log(self.median), self.sigma), self.least), self.most))


CHAT_PROMPT = Lengths(200, 0.8, 16, 1500)
CHAT_ANSWER = Lengths(150, 0.6, 16, 600)
LONG_PROMPT = Lengths(2600, 0.1, 2100, 3200)
LONG_ANSWER = Lengths(100, 0.5, 16, 400)


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape: how long it lasts, the rate as a multiple of the average, the share of long prompts."""

    duration_s: float
    rate_at: Callable[[float], float]
    long_share: float = 0.0


def generate(name: str, seed: int = 0, rate: float = RATE, duration_s: float | None = None) -> list[TraceRequest]:
    """Return a trace of that shape.  Raises ValueError for an unknown one."""
    if name not in SHAPES:
        raise ValueError(f"shape = {name!r}, must be one of: {', '.join(SHAPES)}")
    rng, shape = Random(seed), SHAPES[name]  # noqa: S311 - keeps no secret
    arrivals = _arrivals(shape.rate_at, rate, shape.duration_s if duration_s is None else duration_s, rng)
    return [_request(at_s, rng, is_long=rng.random() < shape.long_share) for at_s in arrivals]


def _request(at_s: float, rng: Random, *, is_long: bool) -> TraceRequest:
    prompt, answer = (LONG_PROMPT, LONG_ANSWER) if is_long else (CHAT_PROMPT, CHAT_ANSWER)
    return TraceRequest(at_s * 1000, prompt.draw(rng), answer.draw(rng))


def _arrivals(rate_at: Callable[[float], float], rate: float, duration_s: float, rng: Random) -> Iterator[float]:
    """Yield the times of arrivals, thinned from a faster Poisson process (Lewis and Shedler, 1979)."""
    at_s = rng.expovariate(MOST * rate)
    while at_s < duration_s:
        if rng.random() * MOST < rate_at(at_s):
            yield at_s
        at_s += rng.expovariate(MOST * rate)


def _steady(_at_s: float) -> float:
    return 1.0


def _waves(at_s: float) -> float:
    """Return a wave from 0.2 to 1.8 times the average, which begins low, and bursts on it."""
    wave = 1 - 0.8 * cos(2 * pi * at_s / WAVE_S)
    return wave * (BURST_FACTOR if at_s % BURST_EVERY_S >= BURST_EVERY_S - BURST_S else 1.0)


MOST = 4.0
"""The highest rate of any shape, as a multiple of its average."""
SHAPES: Mapping[str, Shape] = {
    "chat": Shape(STEADY_S, _steady),
    "long": Shape(STEADY_S, _steady, LONG_SHARE),
    "waves": Shape(WAVES_S, _waves),
}
