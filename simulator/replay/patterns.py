"""Made-up traffic whose rate follows a pattern that a line of text names: ramps, waves, a day, a step, bursts.

    RATExSECONDS,...            steps, one after the other: 2x330,4x360,1x300
    wave:mean=5,amplitude=0.7,period=840,for=2520      mean x (1 - amplitude x cos), so that it begins low
    day:low=1,high=9,for=2400                          one such wave from low to high and back
    step:low=2,high=8,at=600,until=1200,for=1800       low, at once high, at once low
    bursts:low=4,high=8,length=60,every=600,for=2400   low, and high at the end of each `every` seconds

Rates are requests per second, times seconds.  A pattern is a series of steps; waves are steps of a second.

Even arrivals come when the integral of the rate reaches 0, 1, 2 and so on; Poisson arrivals when it reaches sums of
exponentially distributed numbers with mean 1 (time change, Cinlar 1975).

Lives here: patterns, lengths, requests.  Not here: shapes with names (shapes), traces of others (traces).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import cos, isfinite, pi
from random import Random
from typing import NamedTuple

from simulator.replay.traces import TraceRequest

MOST_REQUESTS = 2_000_000
MOST_SECONDS = 7 * 86_400
MOST_TOKENS = 10**7
"""Limits beyond which a pattern is taken for a mistake (chosen)."""


class Step(NamedTuple):
    """A time with a steady rate."""

    seconds: float
    rate: float
    """Requests per second."""


@dataclass(frozen=True, slots=True)
class TokenRange:
    """Lengths in tokens, evenly spread over [least, most]."""

    least: int
    most: int

    def draw(self, rng: Random) -> int:
        """Return a length."""
        return rng.randint(self.least, self.most) if self.most > self.least else self.least


def parse_tokens(text: str) -> TokenRange:
    """Return the lengths of `4000` or `2000-6000`.  Raises ValueError."""
    low, dash, high = text.partition("-")
    if not (low.isdecimal() and (high if dash else low).isdecimal()):
        raise ValueError(f"tokens = {text!r}, must be N or LEAST-MOST")
    found = TokenRange(int(low), int(high or low))
    if not 1 <= found.least <= found.most <= MOST_TOKENS:
        raise ValueError(f"tokens = {text!r}, must be from 1 to {MOST_TOKENS}, the least first")
    return found


def parse_pattern(text: str) -> Sequence[Step]:
    """Return the steps of a pattern.  Raises ValueError for what cannot be one."""
    name, colon, rest = text.partition(":")
    steps = _named(text, name.strip(), rest) if colon else [_step(text, part) for part in text.split(",")]
    seconds, requests = sum(step.seconds for step in steps), sum(step.seconds * step.rate for step in steps)
    if not 1 <= requests <= MOST_REQUESTS or seconds > MOST_SECONDS:
        raise ValueError(
            f"pattern = {text!r}: {requests:.0f} requests in {seconds:.0f} s, must be 1 to {MOST_REQUESTS} in at most "
            f"{MOST_SECONDS}"
        )
    return steps


def generate(
    steps: Sequence[Step], prompts: TokenRange, answers: TokenRange, rng: Random, *, is_even: bool
) -> list[TraceRequest]:
    """Return the requests of a pattern."""
    counts = (float(number) for number in count()) if is_even else _poisson(rng)
    return [TraceRequest(at_s * 1000, prompts.draw(rng), answers.draw(rng)) for at_s in _times(steps, counts)]


def _times(steps: Sequence[Step], counts: Iterator[float]) -> Iterator[float]:
    """Yield when the integral of the rate reaches each of the counts."""
    begun_s, before, wanted = 0.0, 0.0, next(counts)
    for step in steps:
        after = before + step.seconds * step.rate
        while wanted < after:
            yield begun_s + (wanted - before) / step.rate
            wanted = next(counts)
        begun_s, before = begun_s + step.seconds, after


def _poisson(rng: Random) -> Iterator[float]:
    total = 0.0
    while True:
        total += rng.expovariate(1.0)
        yield total


def _step(text: str, part: str) -> Step:
    rate, _, seconds = part.partition("x")
    try:
        step = Step(float(seconds), float(rate))
    except ValueError as error:
        raise ValueError(f"pattern = {text!r}: {part!r} must be RATExSECONDS, or NAME:key=value,...") from error
    if not (isfinite(step.seconds) and isfinite(step.rate) and step.seconds > 0 and step.rate >= 0):
        raise ValueError(f"pattern = {text!r}: {part!r} must have a rate >= 0 and seconds > 0")
    return step


def _named(text: str, name: str, rest: str) -> Sequence[Step]:
    if name not in PATTERNS:
        raise ValueError(f"pattern = {text!r}: {name!r} must be one of: {', '.join(PATTERNS)}")
    defaults, steps_of = PATTERNS[name]
    values = dict(defaults)
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        try:
            values[key] = float(value)
        except ValueError as error:
            raise ValueError(f"pattern = {text!r}: {part!r} must be key=number") from error
        if key not in defaults or not 0 <= values[key] < float("inf"):
            raise ValueError(f"pattern = {text!r}: {part!r} must be a number >= 0 of one of: {', '.join(defaults)}")
    if values["for"] > MOST_SECONDS:
        raise ValueError(f"pattern = {text!r}: for = {values['for']:g}, must be at most {MOST_SECONDS}")
    return [step for step in steps_of(values) if step.seconds > 0]


Values = Mapping[str, float]


def _wave(values: Values) -> Sequence[Step]:
    if not 0 <= values["amplitude"] <= 1 or values["period"] <= 0:
        raise ValueError("pattern = 'wave': amplitude must be from 0 to 1 and period above 0")
    return _waves(values["mean"], values["amplitude"], values["period"], values["for"])


def _day(values: Values) -> Sequence[Step]:
    low, high = values["low"], values["high"]
    mean = (low + high) / 2
    return _waves(mean, (high - low) / 2 / mean if mean else 0.0, max(values["for"], 1.0), values["for"])


def _waves(mean: float, amplitude: float, period_s: float, duration_s: float) -> Sequence[Step]:
    """Return a wave as steps of a second, each with the rate of its middle."""
    return [
        Step(min(1.0, duration_s - second), mean * (1 - amplitude * cos(2 * pi * (second + 0.5) / period_s)))
        for second in range(int(-(-duration_s // 1)))
    ]


def _one_step(values: Values) -> Sequence[Step]:
    at_s, until_s, end_s = values["at"], values["until"], values["for"]
    if not at_s <= until_s <= end_s:
        raise ValueError("pattern = 'step': must have at <= until <= for")
    low, high = values["low"], values["high"]
    return [Step(at_s, low), Step(until_s - at_s, high), Step(end_s - until_s, low)]


def _bursts(values: Values) -> Sequence[Step]:
    if not 1 <= values["length"] < values["every"]:
        raise ValueError("pattern = 'bursts': length must be at least 1 and below every")
    turn = (Step(values["every"] - values["length"], values["low"]), Step(values["length"], values["high"]))
    steps, left_s = [], values["for"]
    while left_s > 0:
        for step in turn:
            steps.append(Step(min(step.seconds, left_s), step.rate))
            left_s = max(0.0, left_s - step.seconds)
    return steps


PATTERNS: Mapping[str, tuple[Values, Callable[[Values], Sequence[Step]]]] = {
    "wave": ({"mean": 5, "amplitude": 0.5, "period": 840, "for": 2520}, _wave),
    "day": ({"low": 1, "high": 9, "for": 2400}, _day),
    "step": ({"low": 2, "high": 8, "at": 600, "until": 1200, "for": 1800}, _one_step),
    "bursts": ({"low": 4, "high": 8, "length": 60, "every": 600, "for": 2400}, _bursts),
}
"""Name -> the values that it may be given, with their defaults, and its steps."""
