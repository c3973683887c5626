"""One run at one load: when requests arrive, which of them count, and their measures.

What counts are the requests that complete in a window, which opens after a warm-up: requests go on arriving at the
same load until it closes, so that neither an empty engine nor its last requests are measured.

Lives here: the window and the statistics, without a clock.  Not here: sending requests (forebay.profiling).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt
from random import Random
from typing import NamedTuple

from optimizer.profiling.points import PERCENTILES, Load, Point

BLOCK = 50
"""Arrivals that together take exactly their time: a window of 100 requests then has the rate that it is named for
(chosen; bursts within a block are those of a Poisson process)."""
WARM_COMPLETIONS = 10
WARM_GENERATIONS = 3
"""The window opens after so many completions and generations: a generation ends when a request that was sent after the
one before is complete.  Requests take the longer the more others run, so the first tell little (chosen)."""
PATIENCE = 30.0
"""A run that is not over after its samples at its rate, and so many times the time of its first request, has a backlog
(chosen: the slowest of runs without one took a third of it)."""
BATCHES = 10
"""Groups of successive requests whose means tell the error of the mean; single latencies depend on each other."""


class Answer(NamedTuple):
    """The times of one request, in seconds of the clock that drove it."""

    sent_s: float
    first_s: float
    ended_s: float
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Span:
    """How long a run takes."""

    samples: int = 100
    """Completions after which the window closes; it is at least as long as a request takes."""
    warm_up_s: float | None = None
    """None = by completions."""
    window_s: float | None = None
    """None = by samples."""
    most_in_flight: int = 4000
    """A run in which more are under way ends at once: the rate is far too high."""


def gaps(rate: float, rng: Random) -> Iterator[float]:
    """Yield the seconds between arrivals, without end."""
    while True:
        block = [rng.expovariate(1.0) for _ in range(BLOCK)]
        scale = BLOCK / rate / fsum(block)
        yield from (gap * scale for gap in block)


@dataclass(slots=True)
class Steady:
    """Collects the answers of one run, which begins at 0 s."""

    load: Load
    span: Span
    in_flight: int = 0
    _answers: list[Answer] = field(default_factory=list)
    _generations: int = 0
    _generation_s: float = 0.0
    _opened: int | None = None
    """How many answers had come when the window opened."""
    _opened_s: float = 0.0
    _has_turned: bool = False
    """Whether a request is complete that was sent in the window; many that started together may end together."""
    _arrivals: int = 0
    _refusals: int = 0

    def sent(self) -> None:
        """Count a request that is sent."""
        self.in_flight += 1
        self._arrivals += self._opened is not None

    def refused(self) -> None:
        """Count a request that the engine refuses because it has too many."""
        self.in_flight -= 1
        self._refusals += 1

    @property
    def has_only_refusals(self) -> bool:
        """Whether the engine has refused so many and answered none that it will answer none."""
        return self._refusals >= BLOCK and not self._answers

    def ended(self, answer: Answer) -> None:
        """Take a complete answer in, in the order of their ends."""
        self.in_flight -= 1
        self._answers.append(answer)
        if answer.sent_s >= self._generation_s:
            self._generations, self._generation_s = self._generations + 1, answer.ended_s
        if self._opened is None and self._is_warm(answer.ended_s):
            self._opened_s = answer.ended_s
        if answer.ended_s == self._opened_s:  # with others that ended at the same time
            self._opened = len(self._answers)
        self._has_turned = self._has_turned or (self._opened is not None and answer.sent_s > self._opened_s)

    def _is_warm(self, now_s: float) -> bool:
        if self.span.warm_up_s is not None:
            return now_s >= self.span.warm_up_s
        return len(self._answers) >= WARM_COMPLETIONS and self._generations >= WARM_GENERATIONS

    def is_over(self, now_s: float) -> bool:
        """Whether the window has closed, or need not open because a backlog grows."""
        if self._is_hopeless(now_s):
            return True
        if self._opened is None:
            return False
        if self.span.window_s is not None:
            return now_s >= self._opened_s + self.span.window_s
        return self._has_turned and self.samples >= self.span.samples

    def _is_hopeless(self, now_s: float) -> bool:
        if self.load.concurrency is not None or not self._answers:
            return self.in_flight > self.span.most_in_flight
        first = self._answers[0]
        most_s = self.span.samples / self.load.rate + PATIENCE * (first.ended_s - first.sent_s)
        is_late = self.span.window_s is None and now_s > most_s
        return is_late or self.in_flight > self.span.most_in_flight

    @property
    def samples(self) -> int:
        """Answers in the window so far."""
        return 0 if self._opened is None else len(self._answers) - self._opened

    def point(self, now_s: float) -> Point:
        """Return the measures; without a window of all answers, and without any as if one came now."""
        answers, since_s = self._answers[self._opened or 0 :], self._opened_s
        load = self.load
        if not answers:
            answers = [Answer(0.0, now_s, now_s, load.output_tokens)]
        duration_s = self.span.window_s or max(answers[-1].ended_s, since_s) - since_s
        if self._is_hopeless(now_s):
            duration_s = now_s - since_s
        e2e = [each.ended_s - each.sent_s for each in answers]
        ttft = [each.first_s - each.sent_s for each in answers]
        tpot = [(each.ended_s - each.first_s) / max(1, each.output_tokens - 1) for each in answers]
        rate = len(answers) / duration_s
        if load.concurrency is not None:
            rate = load.concurrency * len(answers) / fsum(e2e)  # Little's law: those that start together end together
            load = Load(load.input_tokens, load.output_tokens, rate, load.concurrency)
        tokens = fsum(each.output_tokens for each in answers) / len(answers)
        metrics = {"TPUT": {"mean": rate}, "TT": {"mean": rate * tokens}}
        metrics |= {"E2E": statistics(e2e), "TTFT": statistics(ttft), "TPOT": statistics(tpot)}
        arrived = None if load.concurrency is not None or self._opened is None else self._arrivals / duration_s
        return Point(load, metrics, arrived)


def statistics(values: Sequence[float]) -> dict[str, float]:
    """Return mean, standard error of the mean by means of BATCHES successive groups, and percentiles."""
    size = len(values) // BATCHES
    means = [fsum(values[start : start + size]) / size for start in range(0, size * BATCHES, size)] if size else []
    mean = fsum(values) / len(values)
    found = {"mean": mean}
    if means:
        middle = fsum(means) / BATCHES
        found["stderr"] = sqrt(fsum((each - middle) ** 2 for each in means) / (BATCHES - 1) / BATCHES)
    ordered = sorted(values)
    return found | {f"P{percent}": _quantile(ordered, percent / 100) for percent in PERCENTILES}


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Interpolate between the two nearest values."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
