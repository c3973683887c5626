"""A live engine and its model, measured by the same windows at the same arrivals, agree."""

from dataclasses import replace

import pytest

from forebay.profiling.engine_meter import Asking, engine_meter
from forebay.profiling.model_meter import ModelMeter
from optimizer.profiling.points import Load
from optimizer.profiling.steady import Span
from simulator.calibration.streams import Prompts
from simulator.core.gpus import GPUS
from simulator.core.speed import LinearSpeed
from tests.support.engines import an_engine

SLOW = LinearSpeed(a=0.15, b=0.0005, c=0.0, d=0.0, e=0.005)
"""A pass takes so long that a busy machine adds little: 150 ms, and 0.5 ms for each token."""
SPAN = Span(16)
TOLERANCE = 0.25
"""With so few requests chance alone makes a difference, when the window opens one request earlier or later."""


@pytest.mark.parametrize("load", [Load(100, 3, 4.0), Load(100, 3, concurrency=4)], ids=["arrivals", "closed loop"])
async def test_a_live_engine_is_as_its_model_says(load: Load):
    model = await ModelMeter(replace(GPUS["L20"], speed=SLOW), SPAN).measure(load)
    engine = an_engine(speed=SLOW)
    async with engine as (running, _), engine_meter(running.url, "", Asking("tiny"), SPAN, Prompts()) as (meter, _):
        live = await meter.measure(load)

    for metric in ("TPUT", "E2E", "TTFT", "TPOT"):
        assert model.mean(metric) == pytest.approx(live.mean(metric), rel=TOLERANCE), metric
