"""grpc.health.v1 tells the truth on every transport: an empty pool is not served, nor is a worker that drains."""

import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from gateway.pb import health_pb2 as health
from tests.support.player import Player
from tests.support.redis import redis_server
from tests.support.running_worker import RunningWorker, running_worker
from tests.support.waiting import until

NAMES = (
    "",
    "envoy.service.ext_proc.v3.ExternalProcessor",
    "envoy.service.accesslog.v3.AccessLogService",
    "inference-extension",
)
SERVING, NOT_SERVING = health.HealthCheckResponse.SERVING, health.HealthCheckResponse.NOT_SERVING
POD = '[{name: m, endpoints: [{address: "127.0.0.1:9"}]}]'


@pytest.fixture(params=["http2", "grpc"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningWorker]:
    """A worker whose pool is empty."""
    models = tmp_path / "models.yaml"
    models.write_text("[]")
    settings = {"models_file": str(models), "transport": request.param, "health": {"interval_s": 3600}}
    with redis_server() as redis, running_worker(tmp_path, redis.url, settings) as one:
        yield one


def check(channel: grpc.Channel, name: str) -> int:
    request = health.HealthCheckRequest(service=name).SerializeToString()
    answer = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=20)
    return health.HealthCheckResponse.FromString(answer).status


def watch(channel: grpc.Channel, name: str) -> Iterator[int]:
    request = health.HealthCheckRequest(service=name).SerializeToString()
    for said in channel.unary_stream("/grpc.health.v1.Health/Watch")(request, timeout=60):
        yield health.HealthCheckResponse.FromString(said).status


def test_a_worker_serves_from_its_first_pod_until_it_drains(worker: RunningWorker, tmp_path: Path):
    player = Player(worker.grpc)
    watches = [watch(player.channel, name) for name in NAMES]
    assert dict.fromkeys(NAMES, NOT_SERVING) == {name: check(player.channel, name) for name in NAMES}
    assert {NOT_SERVING} == {next(told) for told in watches}

    (tmp_path / "models.yaml").write_text(POD)
    assert {SERVING} == {next(told) for told in watches}
    assert dict.fromkeys(NAMES, SERVING) == {name: check(player.channel, name) for name in NAMES}

    stream = player.chat()
    stream.routed()  # this request runs, so that the worker has something to wait for
    worker.process.send_signal(signal.SIGTERM)
    assert {NOT_SERVING} == {next(told) for told in watches}
    assert dict.fromkeys(NAMES, NOT_SERVING) == {name: check(player.channel, name) for name in NAMES}

    stream.finish()
    player.close()


def test_a_pool_that_becomes_empty_is_not_served_any_more(worker: RunningWorker, tmp_path: Path):
    player = Player(worker.grpc)
    models = tmp_path / "models.yaml"
    models.write_text(POD)
    until(lambda: check(player.channel, "") == SERVING, limit_s=20)

    models.write_text("[{name: m}]")  # a model without pods

    until(lambda: check(player.channel, "inference-extension") == NOT_SERVING, limit_s=20)
    player.close()
