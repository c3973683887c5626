"""Runs a benchmark: all cells of a grid, with progress.

Lives here: the loop over cells.  Not here: the loads of a cell (grid), the measures.
"""

from collections.abc import AsyncIterator

from forebay.profiling.grid import Grid, Known, Meter, run
from forebay.profiling.progress import Progress
from optimizer.profiling.points import Point, named


async def points_of(meter: Meter, grid: Grid, known: Known) -> AsyncIterator[Point]:
    """Measure a grid and yield each point that was not known, while the progress is shown."""
    progress = Progress(len(grid.cells()))
    for done, searches in enumerate(grid.searches()):
        async for point in run(meter, searches, known):
            progress.show(done, named(point.load))
            yield point
    progress.show(len(grid.cells()), "done")
    progress.end()


async def measure_all(meter: Meter, grid: Grid, known: Known) -> None:
    """Measure a grid into `known`."""
    async for _ in points_of(meter, grid, known):
        pass
