"""A worker with a real Redis tells planners of its traffic."""

import json

import pytest

from gateway.config.settings import (
    EndpointSettings,
    ModelSettings,
    RedisSettings,
    Settings,
    SharingSettings,
    TrafficSettings,
)
from gateway.worker.launch import Place
from gateway.worker.worker import Worker
from tests.support.polling import until
from tests.support.redis import redis_server

MODEL = ModelSettings(name="m", endpoints=(EndpointSettings(address="127.0.0.1:9", name="a", adapters=("lora",)),))


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_worker_that_ends_writes_what_it_counted_in_the_window_that_runs(enabled: bool):
    with redis_server() as server:
        settings = Settings(
            models=(MODEL,),
            redis=RedisSettings(url=server.url),
            sharing=SharingSettings(enabled=False),
            traffic=TrafficSettings(enabled=enabled),
        )
        worker = Worker(settings, Place(0, "127.0.0.1:4", None))
        async with worker.running():
            await until(lambda: not enabled or worker.planning.traces._ahead_s is not None)
            worker.planning.counts.arrive("m", 256)
            worker.planning.counts.arrive("lora", 256)

        traces = [json.loads(server.own_client.get(key)) for key in server.own_client.keys("aibrix:*")]
        assert 2 * enabled == sum(trace["meta_total_reqs"] for trace in traces)
