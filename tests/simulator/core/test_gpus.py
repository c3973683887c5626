from dataclasses import replace

import pytest

from simulator.core.gpus import GPUS, gpu_profile, resized
from simulator.core.speed import Chunks


def test_the_published_fit_is_as_published():
    profile = gpu_profile("published-fit")

    assert (16_384, 64, 8_192, 256) == (
        profile.kv_blocks, profile.block_tokens, profile.pass_tokens, profile.max_running,
    )  # fmt: skip
    assert pytest.approx((4.209989e-7 * 1000**2 + 1.518344e-2 * 1000 + 16.50142) / 1000) == profile.speed.pass_s(
        0, 0, Chunks(prefills=1, new_tokens=1000)
    )
    assert pytest.approx((-25.74 * 0.25 + 54.01 * 0.5 + 5.74) / 1000) == profile.speed.pass_s(1, 16_384 * 32)


def test_a_gpu_with_more_bandwidth_decodes_faster():
    order = ["L4", "A10", "L20", "V100", "A100", "H100"]

    assert order == sorted(order, key=lambda name: -gpu_profile(name).speed.pass_s(1, 1_000))


def test_a_v100_decodes_about_as_fast_as_an_l20_and_takes_longer_for_a_prompt():
    l20, v100 = (gpu_profile(name).speed for name in ("L20", "V100"))
    prompt = Chunks(prefills=1, new_tokens=2048, attended_tokens=2048 * 1024)

    assert pytest.approx(l20.pass_s(8, 8_000), rel=0.05) == v100.pass_s(8, 8_000)
    assert v100.pass_s(0, 0, prompt) > 1.5 * l20.pass_s(0, 0, prompt)


def test_every_cache_holds_a_prompt_of_32k():
    assert [] == [name for name, gpu in GPUS.items() if gpu.kv_blocks * gpu.block_tokens < 32_768]


def test_the_error_for_an_unknown_gpu_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"'X1', must be one of: L4, .*published-fit"):
        gpu_profile("X1")


@pytest.mark.parametrize("fields", [{"pass_tokens": 256}, {"kv_blocks": 0}, {"max_running": 0}, {"adapter_slots": 0}])
def test_sizes_with_which_nothing_could_run_are_refused(fields: dict[str, int]):
    with pytest.raises(ValueError, match="GpuProfile"):
        replace(gpu_profile("L4"), **fields)


def test_another_size_keeps_the_speed_but_the_share_of_the_cache():
    fitted, small = gpu_profile("published-fit"), resized(gpu_profile("published-fit"), kv_blocks=4096, max_running=16)
    full, half = 4096 * 64, 4096 * 64 // 2

    assert (4096, 64, 16) == (small.kv_blocks, small.block_tokens, small.max_running)
    assert fitted.speed.pass_s(1, 4 * half) == small.speed.pass_s(1, half) < small.speed.pass_s(1, full)
    assert gpu_profile("L20").speed is resized(gpu_profile("L20"), kv_blocks=99).speed


def test_sizes_that_no_engine_can_have_are_refused():
    with pytest.raises(ValueError, match="pass_tokens > max_running"):
        resized(gpu_profile("L20"), max_running=5000)
