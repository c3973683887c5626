import asyncio
from pathlib import Path

import pytest

from simulator.calibration.calibrate import Request, calibrated, run
from simulator.calibration.gpu_file import load_gpu
from simulator.core.speed import Chunks, LinearSpeed
from tests.support.engines import an_engine
from tests.support.ports import free_address

SPEED = LinearSpeed(a=0.01, b=5e-5, c=4e-9, d=2e-7, e=3e-4)
TOLERANCE = 0.15
"""Relative error of predictions: timers and a busy machine add some percent to what is measured."""


def a_request(url, output, **changes):
    asked = {
        "base_url": url, "model": "tiny", "api_key": "",
        "prompt_tokens": (64, 512, 1024, 2048, 4096), "concurrency": (1, 4, 12),
        "pass_tokens": 2048, "max_running": 64, "kv_blocks": None, "output": output,
    }  # fmt: skip
    return Request(**asked | changes)


async def test_calibrating_against_a_simulated_engine_finds_a_profile_that_predicts_it(tmp_path):
    said = []
    async with an_engine(speed=SPEED, pass_tokens=2048, max_running=64) as (running, _):
        found, comment = await calibrated(a_request(running.url, tmp_path / "x.yaml"), said.append)

    def first_token(speed, tokens):
        return speed.pass_s(0, 0, Chunks(1, tokens, 0, tokens * (tokens + 1) // 2))

    for sequences, length in ((1, 100), (8, 1000), (12, 3000)):
        expected = SPEED.pass_s(sequences, sequences * length)
        assert pytest.approx(expected, rel=TOLERANCE) == found.speed.pass_s(sequences, sequences * length)
    for tokens in (800, 2000):
        assert pytest.approx(first_token(SPEED, tokens), rel=TOLERANCE) == first_token(found.speed, tokens)
    assert (running.engine.profile.gpu.kv_blocks, 16, 2048, 64) == (
        found.kv_blocks, found.block_tokens, found.pass_tokens, found.max_running,
    )  # fmt: skip
    assert 5 + 6 == len(said)
    assert comment.startswith("Fitted by forebay calibrate to tiny: a ")


async def test_the_file_is_a_profile(tmp_path):
    output, said = tmp_path / "mine.yaml", []
    async with an_engine(speed=SPEED, metrics="sglang") as (running, _):
        request = a_request(running.url, output, prompt_tokens=(64, 512, 1024), concurrency=(1, 2), kv_blocks=777)
        await asyncio.to_thread(run, request, said.append)

    assert (777, 2048) == (load_gpu(str(output)).kv_blocks, load_gpu(str(output)).pass_tokens)
    assert "forebay simulate --gpu" in said[-1]


async def test_an_engine_that_does_not_report_its_cache_needs_the_option(tmp_path):
    async with an_engine(metrics="sglang") as (running, _):
        with pytest.raises(ValueError, match="--kv-blocks"):
            await calibrated(a_request(running.url, tmp_path / "x"), print)


def test_an_engine_that_is_not_there_is_an_error_of_one_line():
    url = f"http://{free_address()}"

    with pytest.raises(OSError, match=url):
        run(a_request(url, Path("never")), print)
