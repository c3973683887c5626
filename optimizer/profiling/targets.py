"""Service-level objectives of a profile: bounds of latencies at a percentile, and of throughput.

Lives here: whether a measured point keeps them.  Not here: which point is chosen (making), the queue model's targets
(profiles.capacity).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import isfinite

from optimizer.input.reading import InputError
from optimizer.profiling.points import Point

CONFIDENCE = 1.645
"""Standard errors above the mean of an upper bound at 95 %, one-sided."""
METRIC_OF = {"e2e": "E2E", "tpat": "E2E", "ttft": "TTFT", "tpot": "TPOT", "itl": "TPOT"}
"""The measured latency of each target: TPAT is E2E per token, and ITL the mean time between tokens, as TPOT."""
MOST_PERCENTILE = 100.0


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets; None = none.  Latencies must be below theirs, in seconds, throughputs at least theirs."""

    ttft: float | None = None
    itl: float | None = None
    tpot: float | None = None
    tpat: float | None = None
    """E2E per token of input and output."""
    e2e: float | None = None
    tput: float | None = None
    """Requests per second."""
    tt: float | None = None
    """Output tokens per second."""
    percentile: float = 0.0
    """Percentile of the latencies; 0 = the mean."""

    def page(self) -> dict[str, float]:
        """Return `slos` of a profile."""
        return {"percentile": self.percentile} | dict(self._set())

    def _set(self) -> Iterator[tuple[str, float]]:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "percentile" and value is not None:
                yield each.name, value

    def is_kept(self, point: Point) -> bool:
        """Whether a point keeps all of them."""
        return self.are_latencies_kept(point) and all(
            point.mean(name.upper()) >= value for name, value in self._set() if name not in METRIC_OF
        )

    def are_latencies_kept(self, point: Point) -> bool:
        """Whether a point keeps those of latencies, which higher rates break; throughputs break at lower ones."""
        return all(self.latency(point, name) < value for name, value in self._set() if name in METRIC_OF)

    def latency(self, point: Point, name: str) -> float:
        """Return the latency that a target of that name bounds."""
        value = point.at(METRIC_OF[name], self.percentile)
        return value / (point.load.input_tokens + point.load.output_tokens) if name == "tpat" else value

    def tightness(self, point: Point, name: str) -> float:
        """Return a latency as a share of its target."""
        return self.latency(point, name) / float(getattr(self, name))

    def latencies(self) -> tuple[str, ...]:
        """Return the names of the latencies that have targets."""
        return tuple(name for name, _ in self._set() if name in METRIC_OF)

    def error(self, point: Point) -> float | None:
        """Return the relative error, at 95 %, of the mean latency that is nearest to its target; None = unknown."""
        if self.percentile or not self.latencies():
            return None
        nearest = max(self.latencies(), key=lambda name: self.tightness(point, name))
        found = point.metrics[METRIC_OF[nearest]]
        if "stderr" not in found or not found["mean"]:
            return None
        return CONFIDENCE * found["stderr"] / found["mean"]


def parse_targets(text: str) -> Targets:
    """Return the targets of `ttft=2,itl=0.05,percentile=99`.  Raises InputError."""
    names = [each.name for each in fields(Targets)]
    values: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        number = _number(value)
        if name not in names or name in values or number is None:
            raise InputError([f"{part!r}: must be NAME=NUMBER, each once, of {', '.join(names)}"])
        values[name] = number
    return checked(Targets(**values))


def checked(targets: Targets) -> Targets:
    """Return the targets.  Raises InputError for those that are none."""
    problems = [
        f"{name} = {value:g}, must be above 0"
        for name, value in targets.page().items()
        if name != "percentile" and not value > 0
    ]
    if not 0 <= targets.percentile < MOST_PERCENTILE:
        problems.append(f"percentile = {targets.percentile:g}, must be from 0 (the mean) to below 100")
    if problems:
        raise InputError(problems)
    return targets


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
