import pytest

from simulator.calibration.benchmark import Benchmark, cache_size
from simulator.calibration.streams import NotMeasuredError, client_of
from simulator.core.speed import steady
from tests.support.engines import an_engine


@pytest.mark.parametrize("suffix", ["", "/v1", "/v1/"])
async def test_an_engine_is_measured_whatever_the_form_of_its_url(suffix):
    async with an_engine(speed=steady(100)) as (running, _), client_of(running.url + suffix, "key") as client:
        benchmark = Benchmark(client, "tiny", pass_tokens=2048)
        await benchmark.warm_up()
        prefill, decode = await benchmark.prefill(500), await benchmark.decode(3, 100)

    assert 400 < prefill.prompt_tokens < 600
    assert prefill.seconds > 0.009
    assert (3, True) == (decode.sequences, 100 < decode.length < 160)
    assert decode.seconds > 0.009


async def test_nothing_is_reused_between_measurements():
    async with an_engine() as (running, _), client_of(running.url, "") as client:
        benchmark = Benchmark(client, "tiny", pass_tokens=2048)
        await benchmark.warm_up()
        await benchmark.prefill(1000)

        assert 0 == running.engine.state.model.totals.prefix_hits


async def test_what_the_engine_does_not_do_at_once_is_not_measured():
    async with an_engine(max_running=1) as (running, _), client_of(running.url, "") as client:
        assert await Benchmark(client, "tiny", pass_tokens=2048).decode(2, 50) is None


async def test_a_refusal_is_reported():
    async with an_engine() as (running, _), client_of(running.url, "") as client:
        with pytest.raises(NotMeasuredError, match=r"status 404.*does not exist"):
            await Benchmark(client, "nope", pass_tokens=2048).warm_up()


async def test_the_cache_size_is_read_where_it_is_reported():
    async with an_engine(kv_blocks=1000) as (running, _), client_of(running.url, "") as client:
        assert (1000, 16) == await cache_size(client)
    async with an_engine(metrics="sglang") as (running, _), client_of(running.url, "") as client:
        assert await cache_size(client) is None
