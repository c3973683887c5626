"""Ending: `forebay gateway` finishes what runs, `forebay up` lets nobody wait, neither leaves anything behind."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from gateway.pb import health_pb2 as health
from tests.support.outage import IN_FLIGHT, RESERVED, ask, labels, request, running_up
from tests.support.polling import until
from tests.support.programs import alive
from tests.support.service import running_service

pytestmark = pytest.mark.e2e
TRANSPORTS = pytest.mark.parametrize("transport", ["http2", "grpc"])


@TRANSPORTS
async def test_a_service_told_to_end_is_not_ready_at_once_and_finishes_what_runs(tmp_path: Path, transport: str):
    async with running_service(tmp_path, transport, drain_s=20) as service:
        stream = await service.stream(seconds=2)
        assert (health.HealthCheckResponse.SERVING, 200) == await service.says()

        service.gateway.process.send_signal(signal.SIGTERM)
        told_s = time.monotonic()

        async def is_not_ready() -> bool:
            return (health.HealthCheckResponse.NOT_SERVING, 503) == await service.says()

        await until(is_not_ready)
        outcome = await stream
        await service.gateway.prints("drained")
        assert 0 == await service.gateway.process.wait()
        ended_s = time.monotonic()

    assert "200" == outcome.label
    assert outcome.ended_s > told_s
    assert outcome.body.endswith(b"data: [DONE]\n\n")
    assert ended_s - told_s < 20  # it did not wait for the limit


@TRANSPORTS
async def test_a_stream_longer_than_the_limit_does_not_hold_the_service_back_and_goes_on(
    tmp_path: Path, transport: str
):
    async with running_service(tmp_path, transport, drain_s=1) as service:
        stream = await service.stream(seconds=4)

        assert 0 == await service.gateway.end()
        assert not stream.done()
        assert "200" == (await stream).label
    assert "drain_limit_reached" in "\n".join(service.gateway.lines)


@TRANSPORTS
async def test_ctrl_c_ends_forebay_up_within_moments_although_streams_run(tmp_path: Path, transport: str):
    async with running_up(tmp_path / "up", config=f"transport: {transport}") as stack:
        await stack.set_speed(tokens_per_s=1)
        streams = [asyncio.create_task(ask(stack.port, request(stream=True, max_tokens=60))) for _ in range(5)]

        async def all_run() -> bool:
            return 5 == await stack.gauge(IN_FLIGHT)

        await until(all_run)
        running = stack.pids()
        told_s = time.monotonic()
        assert 0 == await stack.up.end(signal.SIGINT)
        took_s = time.monotonic() - told_s
        outcomes = await asyncio.gather(*streams)

    assert took_s < 15  # five times what it takes on a busy machine, half of drain_s's default
    assert {"cut off: closed": 5} == labels(outcomes)
    assert not any(alive(pid) for pid in running.values())


async def test_a_second_ctrl_c_ends_forebay_up_at_once(tmp_path: Path):
    async with running_up(tmp_path / "up", "--engines", "1", config="drain_s: 600") as stack:
        await stack.set_speed(tokens_per_s=1)
        stream = asyncio.create_task(ask(stack.port, request(stream=True, max_tokens=100)))

        async def runs() -> bool:
            return 1 == await stack.gauge(IN_FLIGHT)

        await until(runs)
        running = stack.pids()
        stack.up.process.send_signal(signal.SIGINT)
        await stack.up.prints("stopping")
        assert 0 == await stack.up.end(signal.SIGINT)
        assert "cut off: closed" == (await stream).label

    assert not any(alive(pid) for pid in running.values())


async def test_nothing_survives_a_forebay_up_that_is_killed_but_its_users(tmp_path: Path):
    async with running_up(tmp_path / "up", "--engines", "1", "--workers", "2") as stack:
        assert 200 == (await stack.admin("CreateUser", name="lgy", rpm=3)).status_code
        stream = asyncio.create_task(ask(stack.port, request("lgy", stream=True, max_tokens=500)))
        running = stack.pids()
        os.kill(stack.up.process.pid, signal.SIGKILL)
        await until(lambda: not any(alive(pid) for pid in running.values()))
        await stream

    async with running_up(tmp_path / "up", "--engines", "1") as again:
        assert "User: lgy" == (await again.admin("ReadUser", name="lgy")).json()["message"]
        assert [0.0, 0.0] == [await again.gauge(IN_FLIGHT), await again.gauge(RESERVED)]
        assert "200" == (await ask(again.port, request("lgy", max_tokens=2))).label
