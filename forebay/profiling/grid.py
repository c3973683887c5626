"""The loads of a benchmark, one after the other: a grid of lengths, and of each the rates or the search for the knee.

A load whose point is known already, from an earlier run, is not measured again; searches go the same way with it, so
that an interrupted run resumes by itself.

Lives here: the order of loads.  Not here: measuring (model_meter, engine_meter), the search (optimizer.profiling.knee).
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from optimizer.profiling.knee import Search, search
from optimizer.profiling.points import Load, Point
from optimizer.profiling.targets import Targets


class Meter(Protocol):
    """Measures one replica at a load."""

    async def measure(self, load: Load) -> Point:
        """Return the measures."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Lengths, and the rates or SLOs to look at for each pair."""

    inputs: Sequence[int]
    outputs: Sequence[int]
    rates: Sequence[float] = ()
    concurrency: Sequence[int] = ()
    slos: Sequence[Targets] = ()
    max_model_len: int | None = None
    """Most tokens of input and output that the engine takes; longer pairs are left out."""

    def cells(self) -> list[tuple[int, int]]:
        """Return the pairs of input and output tokens."""
        most = self.max_model_len
        return [(i, o) for i in self.inputs for o in self.outputs if most is None or i + o <= most]

    def searches(self) -> Iterator[Iterable[Search]]:
        """Yield the searches of each cell."""
        for into, out in self.cells():
            yield [*(search(into, out, slo) for slo in self.slos), *([self._sweep(into, out)] if not self.slos else [])]

    def _sweep(self, into: int, out: int) -> Search:
        for load in self.loads(into, out):  # noqa: UP028 - a list's iterator takes no points
            yield load

    def loads(self, into: int, out: int) -> list[Load]:
        """Return the loads of a cell where they are known beforehand."""
        return [
            *(Load(into, out, rate) for rate in self.rates),
            *(Load(into, out, concurrency=number) for number in self.concurrency),
        ]


Key = tuple[int, int, float, int | None]


def key_of(load: Load) -> Key:
    """Return what tells loads apart: the rate of a closed loop is measured, not asked for."""
    return load.input_tokens, load.output_tokens, 0.0 if load.concurrency else load.rate, load.concurrency


class Known:
    """Points that are measured already."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._points = {key_of(point.load): point for point in points}

    def get(self, load: Load) -> Point | None:
        """Return the point of a load, if it is known."""
        return self._points.get(key_of(load))

    def add(self, point: Point) -> None:
        """Remember a point."""
        self._points[key_of(point.load)] = point

    def points(self) -> tuple[Point, ...]:
        """Return all points in the order of measuring."""
        return tuple(self._points.values())


async def run(meter: Meter, searches: Iterable[Search], known: Known) -> AsyncIterator[Point]:
    """Measure what the searches ask for and yield each point that was not known."""
    for each in searches:
        point: Point | None = None
        while True:
            try:
                load = each.send(point) if point else next(each)
            except StopIteration:
                break
            point = known.get(load)
            if point is None:
                point = await meter.measure(load)
                known.add(point)
                yield point
