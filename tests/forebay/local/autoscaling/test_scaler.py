"""Engines follow decisions: woken from zero, idle to zero, on a real Redis and with real engines."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import yaml

from forebay.cli.autoscale_option import Bounds, spec_of
from forebay.local.autoscaling.choice import Autoscale
from forebay.local.autoscaling.scaler import AutoscaledFleet
from forebay.local.ports import Ports
from forebay.local.supervision.supervisor import Supervisor
from tests.support.polling import until
from tests.support.redis import redis_server
from traffic.connection import Connection
from traffic.wakes import Wakes

IDLE_FAST = "KPA:metric=running,target=5,stable-window=3s,panic-window=3s,scale-down-delay=0s"


@contextlib.asynccontextmanager
async def scaled(
    directory: Path, redis_url: str, least: int = 0, strategy: str = IDLE_FAST
) -> AsyncIterator[tuple[AutoscaledFleet, list[str]]]:
    (directory / "logs").mkdir()
    lines, supervisor = list[str](), None
    scale = Autoscale(spec_of(strategy, Bounds(least, 2, 2.0, 0.1)), 0.0)
    supervisor = Supervisor(lines.append)
    with contextlib.closing(Ports()) as ports:
        fleet = AutoscaledFleet(scale, directory, ports, supervisor, lines.append, gpu="L20")
        try:
            async with fleet.running():
                await fleet.start_least()
                fleet.follow(redis_url)
                yield fleet, lines
        finally:
            await supervisor.stop()


def served(fleet: AutoscaledFleet) -> list[str]:
    (model,) = yaml.safe_load(fleet.models_file.read_text())
    assert model["scales_from_zero"]
    return [f"{endpoint['name']} on {endpoint['gpu']}" for endpoint in model["endpoints"]]


async def test_a_wake_starts_one_engine_at_once_and_it_goes_when_it_is_idle(tmp_path: Path):
    with redis_server() as redis:
        async with scaled(tmp_path, redis.url) as (fleet, lines):
            await asyncio.sleep(1.0)
            assert [] == served(fleet)
            connection = Connection(redis.url, 5.0)

            async def woken() -> bool:
                await Wakes(connection).publish("another model")
                await Wakes(connection).publish("deepseek-r1-distill-llama-8b")
                return any("0 -> 1 replicas: woken by requests that wait" in line for line in lines)

            while not await woken():  # noqa: ASYNC110 - it is told by gateways too, again and again
                await asyncio.sleep(0.5)
            await until(lambda: ["engine-1 on L20"] == served(fleet))
            await until(lambda: any("1 -> 0 replicas" in line for line in lines))
            await until(lambda: any("engine-1 ended" in line for line in lines))

            assert 1 == sum("0 -> 1" in line for line in lines)
            await connection.aclose()


async def test_an_idle_engine_sleeps_where_that_is_asked_for_and_a_wake_wakes_it(tmp_path: Path):
    with redis_server() as redis:
        async with scaled(tmp_path, redis.url, strategy=f"{IDLE_FAST},keep-asleep=1") as (fleet, lines):
            connection = Connection(redis.url, 5.0)
            for number in (1, 2):
                while not served(fleet):
                    await Wakes(connection).publish("deepseek-r1-distill-llama-8b")
                    await asyncio.sleep(0.2)
                await until(lambda number=number: number == sum("engine-1 sleeps" in line for line in lines))  # type: ignore[misc]  # mypy knows no defaults
            assert any("engine-1 is awake" in line for line in lines)
            assert not any("ended" in line or "engine-2" in line for line in lines)
            await connection.aclose()


async def test_the_least_engines_are_there_at_once_and_stay_also_without_redis(tmp_path: Path):
    async with scaled(tmp_path, "redis://127.0.0.1:9/0", least=1) as (fleet, lines):
        assert ["engine-1 on L20"] == served(fleet)
        await asyncio.sleep(5.0)

        assert ["engine-1 on L20"] == served(fleet)
        assert not any("unexpected" in line for line in lines), lines
