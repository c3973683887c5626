"""A whole grid on an engine model, with progress."""

from forebay.profiling.grid import Grid, Known
from forebay.profiling.model_meter import ModelMeter
from forebay.profiling.running import measure_all
from optimizer.profiling.points import Load
from optimizer.profiling.steady import Span
from simulator.core.gpus import GPUS


async def test_all_points_are_known_afterwards(capsys):
    known = Known()

    await measure_all(ModelMeter(GPUS["L20"], Span(20)), Grid((16, 64), (8,), rates=(1.0,)), known)

    assert [Load(16, 8, 1.0), Load(64, 8, 1.0)] == [point.load for point in known.points()]
    assert "2 of 2 cells, 0 s: done" == capsys.readouterr().err.splitlines()[-1]
