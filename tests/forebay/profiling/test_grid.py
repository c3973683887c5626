"""The order of loads, and what is known is not measured again."""

import pytest

from forebay.profiling.grid import Grid, Known, run
from optimizer.profiling.points import Load, Point
from optimizer.profiling.targets import Targets
from tests.support.measured import predicted


class Recorder:
    """An engine that is as the model says, and what it was asked for."""

    def __init__(self) -> None:
        self.loads: list[Load] = []

    async def measure(self, load: Load) -> Point:
        self.loads.append(load)
        return predicted(load)


async def all_of(grid: Grid, known: Known) -> list[Load]:
    meter = Recorder()
    for searches in grid.searches():
        async for _ in run(meter, searches, known):
            pass
    return meter.loads


async def test_a_grid_of_rates_is_measured_once_each():
    grid, known = Grid((16, 64), (8,), rates=(1.0, 2.0), concurrency=(4,)), Known()

    loads = await all_of(grid, known)

    assert [
        Load(16, 8, 1.0), Load(16, 8, 2.0), Load(16, 8, concurrency=4),
        Load(64, 8, 1.0), Load(64, 8, 2.0), Load(64, 8, concurrency=4),
    ] == loads  # fmt: skip
    assert [] == await all_of(grid, known)


@pytest.mark.parametrize("after", [1, 5, 9])
async def test_an_interrupted_search_goes_on_where_it_stood(after: int):
    grid = Grid((16, 256), (16,), slos=(Targets(ttft=2.0, itl=0.05),))
    whole = await all_of(grid, full := Known())

    rest = await all_of(grid, Known(full.points()[:after]))

    assert whole[after:] == rest


async def test_a_second_slo_uses_the_loads_of_the_first():
    slos = (Targets(ttft=2.0, itl=0.05), Targets(ttft=2.0, itl=0.03))

    loads = await all_of(Grid((256,), (16,), slos=slos), Known())

    assert [1, 16] == [load.concurrency for load in loads if load.concurrency]


def test_lengths_that_the_engine_does_not_take_are_left_out():
    assert [(16, 64), (64, 64)] == Grid((16, 64, 256), (64,), max_model_len=200).cells()
