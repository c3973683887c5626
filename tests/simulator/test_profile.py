import pytest

from simulator.profile import GPUS, Profile, Speed, on_gpu


def test_a_gpu_type_sets_speed_and_cache_and_leaves_the_rest():
    profile = on_gpu(Profile("m", seed=7, max_running=3), "A10")

    assert (GPUS["A10"].speed, GPUS["A10"].kv_blocks) == (profile.speed, profile.kv_blocks)
    assert ("m", 7, 3) == (profile.model, profile.seed, profile.max_running)


def test_an_unknown_gpu_type_names_the_known_ones():
    with pytest.raises(ValueError, match="L20"):
        on_gpu(Profile("m"), "abacus")


def test_a_speed_factor_makes_everything_that_much_faster():
    assert Speed(0.1, 400, 100) == Speed(0.2, 200, 50).times(2)


@pytest.mark.parametrize("speed", [{"ttft_s": -1}, {"tokens_per_s": 0}, {"prefill_tokens_per_s": 0}])
def test_an_impossible_speed_is_refused(speed):
    with pytest.raises(ValueError, match="Speed"):
        Speed(**speed)


@pytest.mark.parametrize("size", [{"max_running": 0}, {"kv_blocks": 10}])
def test_an_engine_in_which_nothing_could_run_is_refused(size):
    with pytest.raises(ValueError, match="must"):
        Profile("m", **size)
