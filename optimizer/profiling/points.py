"""Measured points: latencies and throughput of one replica at one load, as the JSON lines that AIBrix writes.

Five lines tell a point, one per metric; ours have more fields, which other readers ignore: more percentiles, `stderr`,
`arrival_rate`, `concurrency`, and what is known of the engine (ABOUT).

Lives here: the values and their lines.  Not here: measuring (steady, forebay.profiling), choosing a rate (making).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optimizer.input.reading import InputError, Reader, finite, shown

LATENCIES = ("E2E", "TTFT", "TPOT")
"""Metrics in seconds: to the last token, to the first, and on average between tokens."""
METRICS = ("TPUT", "TT", *LATENCIES)
"""TPUT is requests per second, TT output tokens per second."""
PERCENTILES = (50, 75, 90, 95, 99)
ABOUT = ("gpu", "engine", "max_model_len", "max_running", "kv_tokens")
"""Fields about the engine that rows may have: names, the most tokens of a request, the most requests that run at once,
the tokens that the KV cache holds."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load: Poisson arrivals at a rate, or so many requests that are always under way."""

    input_tokens: int
    output_tokens: int
    rate: float = 0.0
    """Requests per second."""
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """Measures at one load."""

    load: Load
    metrics: Mapping[str, Mapping[str, float]]
    """Statistics by metric: `mean`, `stderr` of the mean, `P50`, ..."""
    arrival_rate: float | None = None
    """Requests per second that arrived while it was measured."""

    def mean(self, metric: str) -> float:
        """Return the mean of a metric."""
        return self.metrics[metric]["mean"]

    def at(self, metric: str, percentile: float) -> float:
        """Return a percentile of a latency, 0 = the mean; of those that were measured the next higher one.

        Raises InputError when all are lower.
        """
        if percentile == 0:
            return self.mean(metric)
        known = {float(name[1:]): value for name, value in self.metrics[metric].items() if name[:1] == "P"}
        higher = [each for each in known if each >= percentile]
        if not higher:
            raise InputError(
                [f"percentile = {percentile:g}: {metric} has {', '.join(f'P{p:g}' for p in known) or 'none'}"]
            )
        return known[min(higher)]

    @property
    def is_backlogged(self) -> bool:
        """Whether less was served than arrived, by more than chance (AIBrix: below 0.9 of the rate)."""
        offered = self.load.rate if self.arrival_rate is None else min(self.load.rate, self.arrival_rate)
        return self.mean("TPUT") < KEPT_UP * offered


KEPT_UP = 0.9

Cell = tuple[int, int]
"""Output and input tokens."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All points of a file, the last one of each load, and what it says of the engine."""

    points: tuple[Point, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def cells(self) -> Mapping[Cell, Sequence[Point]]:
        """Return the points by lengths, in the order of rates."""
        cells: dict[Cell, list[Point]] = {}
        for point in sorted(self.points, key=lambda point: point.load.rate):
            cells.setdefault((point.load.output_tokens, point.load.input_tokens), []).append(point)
        return cells


def lines_of(point: Point, labels: Mapping[str, Any]) -> str:
    """Return the five lines of a point; `labels` are further fields of each."""
    load = point.load
    shared: dict[str, Any] = {
        "input_tokens": load.input_tokens, "output_tokens": load.output_tokens, "request_rate": load.rate, **labels,
    }  # fmt: skip
    if load.concurrency is not None:
        shared["concurrency"] = load.concurrency
    if point.arrival_rate is not None:
        shared["arrival_rate"] = point.arrival_rate
    return "".join(f"{json.dumps({**shared, 'metric': metric, **point.metrics[metric]})}\n" for metric in METRICS)


def parse_points(text: bytes, labels: Mapping[str, Any] | None = None) -> Measured:
    """Return the points of a file.  Raises InputError with all that is wrong.

    With `labels`, which an interrupted benchmark has, only rows with these values count, and points that are not whole
    are left out.
    """
    reader = _Rows(labels)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            reader.row(f"line {number}", line)
    return reader.measured()


class _Rows(Reader):
    """Reads rows and puts points together."""

    def __init__(self, labels: Mapping[str, Any] | None) -> None:
        super().__init__()
        self._labels = labels
        self._found: dict[Load, dict[str, dict[str, float]]] = {}
        self._arrivals: dict[Load, float] = {}
        self._about: dict[str, Any] = {}

    def row(self, where: str, line: bytes) -> None:
        """Take a line in."""
        try:
            row = self.load(line)
        except InputError as error:
            self.problems += [f"{where}: {problem}" for problem in error.problems]
            return
        if self._labels and isinstance(row, dict) and any(row.get(key) != self._labels[key] for key in self._labels):
            return
        metric = row.get("metric") if isinstance(row, dict) else None
        if metric not in METRICS:
            self.problems.append(f"{where}: metric = {shown(metric)}, must be one of {', '.join(METRICS)}")
            return
        load = self._load_of(where, row)
        statistics = {
            name: self.number(f"{where}: {name}", value)
            for name, value in row.items()
            if name in ("mean", "stderr") or _is_percentile(name)
        }
        if "mean" not in statistics:
            self.problems.append(f"{where}: has no mean")
        self._found.setdefault(load, {})[metric] = statistics
        if (arrived := finite(row.get("arrival_rate"))) is not None:
            self._arrivals[load] = arrived
        self._about |= {name: row[name] for name in ABOUT if row.get(name) is not None}

    def _load_of(self, where: str, row: Mapping[str, Any]) -> Load:
        into, out = (
            round(self.number(f"{where}: {name}", row.get(name), least=1)) for name in ("input_tokens", "output_tokens")
        )
        rate = self.number(f"{where}: request_rate", row.get("request_rate"), above=0)
        concurrency = row.get("concurrency")
        return Load(into, out, rate, None if concurrency is None else round(self.number("concurrency", concurrency, 1)))

    def measured(self) -> Measured:
        """Return all points.  Raises InputError."""
        if self._labels is not None:
            self._found = {load: metrics for load, metrics in self._found.items() if len(metrics) == len(METRICS)}
        elif not self._found and not self.problems:
            self.problems.append("has no measurements")
        for load, metrics in self._found.items():
            if missing := [metric for metric in METRICS if metric not in metrics]:
                self.problems.append(f"{named(load)}: has no {', '.join(missing)}")
        self.close()
        points = (Point(load, metrics, self._arrivals.get(load)) for load, metrics in self._found.items())
        return Measured(tuple(points), self._about)


def _is_percentile(name: str) -> bool:
    return name[:1] == "P" and name[1:].replace(".", "", 1).isdigit()


def named(load: Load) -> str:
    """Return a load as messages name it."""
    amount = f"{load.rate:g} req/s" if load.concurrency is None else f"{load.concurrency} at once"
    return f"{load.input_tokens} input, {load.output_tokens} output tokens, {amount}"


def grid_of(cells: Iterable[Cell]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the output and the input lengths of cells, ascending."""
    outputs, inputs = zip(*cells, strict=True)
    return tuple(sorted(set(outputs))), tuple(sorted(set(inputs)))
