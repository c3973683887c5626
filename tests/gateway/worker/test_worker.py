"""The composition root: everything is wired, runs and is closed again."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.config.settings import (
    EndpointSettings,
    HealthSettings,
    ModelSettings,
    RedisSettings,
    Settings,
    SharingSettings,
)
from gateway.worker.launch import Place
from gateway.worker.worker import Worker
from ratelimit.limits import LimiterUnavailableError
from tests.support.limiters import a_charge
from tests.support.polling import until
from tests.support.redis import redis_server

NOBODY = "unix:///nonexistent/redis.sock"
MODEL = ModelSettings(name="m", endpoints=(EndpointSettings(address="127.0.0.1:9", name="a"),))
PLACE = Place(0, "127.0.0.1:4", None)
SLOW_CHECKS = HealthSettings(interval_s=3600)


async def test_a_running_worker_has_its_fleet():
    worker = Worker(Settings(models=(MODEL,), redis=RedisSettings(url=NOBODY), health=SLOW_CHECKS), PLACE)
    assert not worker.readiness()
    async with worker.running():
        assert worker.readiness()
        await until(lambda: b'forebay_endpoints{model="m",state="ready"} 1.0' in worker.metrics.render())


async def test_changes_of_the_models_file_are_followed(tmp_path: Path):
    file = tmp_path / "models.yaml"
    file.write_text("[]")
    worker = Worker(Settings(models_file=str(file), redis=RedisSettings(url=NOBODY), health=SLOW_CHECKS), PLACE)
    async with worker.running():
        assert not worker.readiness()
        file.write_text("[{name: m, endpoints: [{address: '127.0.0.1:9'}]}]")
        await until(worker.readiness)


async def test_a_task_that_fails_is_counted_and_restarted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.worker.worker.RETRY_S", 0.0)
    worker = Worker(Settings(), PLACE)
    calls = []

    async def work() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise RuntimeError("once")

    await asyncio.wait_for(worker._supervised("job", work), timeout=5)

    assert [0, 1] == calls
    assert b'forebay_errors_total{where="job"} 1.0' in worker.metrics.render()


async def test_a_draining_worker_is_not_ready():
    worker = Worker(Settings(models=(MODEL,), redis=RedisSettings(url=NOBODY), health=SLOW_CHECKS, drain_s=0.01), PLACE)
    async with worker.running():
        await worker.drain()
        assert ("draining",) == worker.readiness.reasons()


async def test_an_absence_of_redis_is_told_at_once_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.worker.worker.REPORT_S", 3600.0)
    with redis_server() as server, capture_logs() as logs:
        worker = Worker(Settings(models=(MODEL,), redis=RedisSettings(url=server.url), health=SLOW_CHECKS), PLACE)
        async with worker.running():
            await until(lambda: b"forebay_redis_up 1.0" in worker.metrics.render())
            server.kill()
            with contextlib.suppress(LimiterUnavailableError):
                await worker.limiter.reserve(a_charge("lgy", 1))
            await until(lambda: b"forebay_redis_up 0.0" in worker.metrics.render())

    (told,) = (entry for entry in logs if entry["event"] == "redis_is_away")
    assert "redis.sock" in told["why"]


async def test_redis_going_away_is_logged_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.worker.worker.REPORT_S", 0.001)
    worker = Worker(Settings(models=(MODEL,), redis=RedisSettings(url=NOBODY), health=SLOW_CHECKS), PLACE)
    with capture_logs() as logs:
        async with worker.running():
            with contextlib.suppress(LimiterUnavailableError):
                await worker.limiter.reserve(a_charge("lgy", 1))
            await until(lambda: any(entry["event"] == "redis_is_away" for entry in logs))
            await asyncio.sleep(0.02)
    (told,) = (entry for entry in logs if entry["event"] == "redis_is_away")
    assert "nonexistent" in told["why"]


async def test_workers_on_one_redis_hear_each_other_and_one_that_does_not_share_is_not_heard():
    with redis_server() as server:
        settings = Settings(models=(MODEL,), redis=RedisSettings(url=server.url), health=SLOW_CHECKS)
        alone = settings.model_copy(update={"sharing": SharingSettings(enabled=False)})
        a, b, c = (Worker(each, PLACE) for each in (settings, settings, alone))
        async with a.running(), b.running(), c.running():
            await until(lambda: (2, 2, 1) == tuple(len(worker.replicas) for worker in (a, b, c)))
            await until(lambda: {a.fleet.prefix_key} == {b.fleet.prefix_key})

            assert {a.replicas.rank, b.replicas.rank} == {0, 1}
            assert a.fleet.prefix_key != c.fleet.prefix_key
