"""Engine models measured in virtual time: what the model says comes out."""

from dataclasses import replace

import pytest

from forebay.profiling.model_meter import MAX_MODEL_LEN, ModelMeter, about, model_meter
from optimizer.profiling.points import Load
from optimizer.profiling.steady import Span
from simulator.core.gpus import GPUS
from simulator.core.speed import steady

STEADY = replace(GPUS["L20"], speed=steady(50.0))
"""Every pass takes 20 ms."""


async def test_one_request_at_a_time_takes_its_passes():
    point = await ModelMeter(STEADY, Span(20)).measure(Load(16, 11, concurrency=1))

    assert (0.02, 0.02, 0.22) == pytest.approx((point.mean("TTFT"), point.mean("TPOT"), point.mean("E2E")))
    assert 1 / 0.22 == pytest.approx(point.mean("TPUT"))


async def test_arrivals_have_their_rate():
    point = await ModelMeter(STEADY, Span(400)).measure(Load(16, 11, 30.0))

    assert (30.0, 330.0) == pytest.approx((point.mean("TPUT"), point.mean("TT")), rel=0.05)
    assert 0.02 < point.mean("TTFT") < 0.04  # waits for the pass under way
    assert not point.is_backlogged


async def test_a_rate_that_is_too_high_has_a_backlog_and_ends():
    point = await ModelMeter(replace(STEADY, max_running=4), Span(100)).measure(Load(16, 11, 500.0))

    assert point.is_backlogged
    assert point.mean("TTFT") > 1.0


async def test_prompts_are_in_no_cache():
    point = await ModelMeter(GPUS["L20"], Span(20)).measure(Load(1024, 2, concurrency=1))

    assert 0.2 < point.mean("TTFT")


async def test_the_same_seed_gives_the_same_point():
    one, same, other = [await ModelMeter(GPUS["L20"], Span(50), seed).measure(Load(16, 11, 30.0)) for seed in (0, 0, 1)]

    assert one == same != other


def test_a_gpu_is_known_by_name():
    meter = model_meter("V100", Span(50))

    assert {
        "gpu": "V100", "engine": "simulated vLLM", "max_model_len": MAX_MODEL_LEN, "max_running": 256,
        "kv_tokens": 16 * GPUS["V100"].kv_blocks,
    } == about("V100", meter)  # fmt: skip
    with pytest.raises(ValueError, match="must be one of: L4"):
        model_meter("V101", Span(50))
