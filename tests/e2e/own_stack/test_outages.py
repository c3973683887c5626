"""Parts of `forebay up` that die or hang under load: it goes on, comes back, and nothing stays counted."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.support.outage import (
    IN_FLIGHT,
    Load,
    Stack,
    ask,
    labels,
    longest_s,
    recovered_after_s,
    request,
    running_up,
)
from tests.support.polling import until
from tests.support.programs import alive
from tests.support.service import running_service

pytestmark = pytest.mark.e2e

RESUMES_S = 5.0
"""The promised time until service resumes, in seconds; a fifth of it was measured."""
SHORT = request("lgy", max_tokens=3)
STREAM = request("lgy", max_tokens=30, stream=True)
ALLOWED = {
    "redis": {"200"},  # from workers that have seen the user: it is killed before they are
    "engine": {"200", "cut off: closed"},  # the answers that ran there; what had not begun went to another
    "gateway": {"200", "503"},  # what was in its hands; answers that run go on
    "envoy": {"200", "no answer: closed", "cut off: closed", "no answer: ConnectionRefusedError"}
    | {"no answer: ConnectionResetError", "cut off: ConnectionResetError"},
}
"""The outcomes that requests may have while a part is down."""


@pytest.mark.parametrize(
    ("transport", "workers", "killed"),
    [("http2", 2, ("envoy", "redis", "gateway-1", "engine-1", "gateway-2")), ("grpc", 2, ("envoy", "gateway-1"))],
)
async def test_each_part_that_is_killed_under_load_comes_back_and_nothing_stays_counted(
    tmp_path: Path, transport: str, workers: int, killed: Sequence[str]
):
    async with running_up(tmp_path / "up", "--workers", str(workers), config=f"transport: {transport}") as stack:
        await stack.admin("CreateUser", name="lgy", rpm=100_000)
        load = Load(stack.port, [SHORT] * 6 + [STREAM] * 4).start()
        await load.succeeds(time.monotonic())

        for name in killed:
            killed_s = time.monotonic()
            await stack.kill(name)
            await load.recovers()
            outcomes = load.since(killed_s)
            assert labels(outcomes).keys() <= ALLOWED[name.partition("-")[0]], name
            assert recovered_after_s(outcomes, killed_s) < RESUMES_S, name

        await load.stop()
        await stack.settles()
        assert all(alive(pid) for pid in stack.pids().values())
        assert 5 + workers == len(stack.pids())
        assert 100_000 == (await stack.admin("ReadUser", name="lgy")).json()["user"]["rpm"]


async def test_answers_outlive_their_worker_and_do_not_settle_the_requests_of_its_successor(tmp_path: Path):
    async with running_up(tmp_path / "up", "--engines", "1") as stack:
        await stack.set_speed(tokens_per_s=10)
        await stack.admin("CreateUser", name="lgy")
        old = asyncio.create_task(ask(stack.port, request("lgy", max_tokens=300, stream=True)))
        await _in_flight(stack, 1)
        await stack.kill("gateway-1")
        await _in_flight(stack, 0)
        new = asyncio.create_task(ask(stack.port, request("lgy", max_tokens=600, stream=True)))
        await _in_flight(stack, 1)
        assert not old.done()

        await stack.set_speed(tokens_per_s=100)
        assert "200" == (await old).label
        await asyncio.sleep(0.5)  # ten times as long as its entry of the access log may take
        assert not new.done()
        assert 1 == await stack.gauge(IN_FLIGHT)
        assert "200" == (await new).label
        await stack.settles()


async def _in_flight(stack: Stack, count: int) -> None:
    async def is_so() -> bool:
        return count == await stack.gauge(IN_FLIGHT)

    await until(is_so)


async def test_what_a_worker_held_when_it_died_is_answered_and_new_requests_go_to_the_other(tmp_path: Path):
    async with running_up(tmp_path / "up", "--workers", "2") as stack:
        await stack.admin("CreateUser", name="lgy")
        assert "200" == (await ask(stack.port, SHORT)).label
        os.kill(stack.pids()["gateway-1"], signal.SIGSTOP)
        held = [asyncio.create_task(ask(stack.port, SHORT)) for _ in range(12)]
        await asyncio.wait(held, timeout=0.5)  # some are answered by the other worker

        await stack.kill("gateway-1")
        fresh = await asyncio.gather(*(ask(stack.port, SHORT) for _ in range(12)))

        assert {"200"} == labels(fresh).keys()
        assert labels(await asyncio.gather(*held)).keys() <= {"200", "503"}
        await stack.settles()


@pytest.mark.parametrize("restarted", [False, True], ids=["continued", "restarted"])
async def test_without_redis_requests_go_on_within_the_limits_and_nothing_is_forgiven(tmp_path: Path, restarted: bool):
    async with running_up(tmp_path / "up") as stack:
        await stack.admin("CreateUser", name="lgy", rpm=100_000)
        await stack.admin("CreateUser", name="few", rpm=30)
        load = Load(stack.port, [SHORT] * 6 + [STREAM] * 2).start()
        few = Load(stack.port, [request("few", max_tokens=2)]).start()
        await load.succeeds(time.monotonic())
        await few.succeeds(0.0, 5)

        paused_s = time.monotonic()
        await stack.kill("redis", signal.SIGSTOP)
        await _redis_up(stack, 0)
        assert 503 == (await stack.admin("UpdateUser", name="lgy", rpm=1)).status_code
        await load.succeeds(time.monotonic(), 30)
        await stack.kill("redis", signal.SIGKILL if restarted else signal.SIGCONT)
        await _redis_up(stack, 1)
        await load.succeeds(time.monotonic(), 30)
        await until(lambda: "429" in labels(few.outcomes))
        await asyncio.gather(load.stop(), few.stop())
        await stack.settles()

        assert {"200"} == labels(load.outcomes).keys()
        assert longest_s(load.since(paused_s), lambda each: b"chunk" not in each.body) < 2 + 2  # redis.timeout_s, noise
        admitted, (charged, _) = labels(few.outcomes)["200"], await stack.usage("few")
        # A reservation that Redis was given but did not confirm is charged twice: at most one here, asked one by one.
        # The second charge takes one of the 30 places, or none where all were taken before Redis was back.
        assert 30 - 1 <= admitted <= 30
        assert 30 <= charged <= admitted + 1
        assert len(load.outcomes) <= (await stack.usage("lgy"))[0] <= len(load.outcomes) + len(load.wires)


async def _redis_up(stack: Stack, value: int) -> None:
    async def is_so() -> bool:
        return value == await stack.gauge("forebay_redis_up")

    await until(is_so, every_s=0.1)


async def test_a_redis_that_came_back_costs_no_admin_call_on_any_worker(tmp_path: Path):
    async with running_up(tmp_path / "up", "--workers", "2", "--engines", "0") as stack:
        calls = [stack.admin("CreateUser", name=f"user-{number}") for number in range(16)]
        assert {200} == {answer.status_code for answer in await asyncio.gather(*calls)}
        await stack.kill("redis")
        await until(lambda: "Ready to accept" in (stack.data / "logs" / "redis.log").read_text().rpartition("AOF")[2])

        calls = [stack.admin("UpdateUser", name=f"user-{number}", rpm=1) for number in range(16)]
        assert {200} == {answer.status_code for answer in await asyncio.gather(*calls)}


@pytest.mark.parametrize(("when_away", "expected"), [("deny", "503"), ("allow", "200")])
async def test_without_redis_everybody_or_nobody_is_served_where_the_setting_says_so(
    tmp_path: Path, when_away: str, expected: str
):
    async with running_up(tmp_path / "up", "--engines", "1", config=f"redis: {{when_away: {when_away}}}") as stack:
        await stack.admin("CreateUser", name="few", rpm=2)
        wire = request("few", max_tokens=2)
        assert "200" == (await ask(stack.port, wire)).label
        await stack.kill("redis", signal.SIGSTOP)

        away = [await ask(stack.port, wire) for _ in range(5)]
        await stack.kill("redis", signal.SIGCONT)
        await _redis_up(stack, 1)

        assert {expected} == labels(away).keys()
        await until(_refuses(stack, wire))
        await stack.settles()


def _refuses(stack: Stack, wire: bytes) -> Callable[[], Awaitable[bool]]:
    async def is_over() -> bool:
        return "429" == (await ask(stack.port, wire)).label

    return is_over


async def test_envoy_survives_an_answer_that_no_other_request_accompanied(tmp_path: Path):
    """Its gRPC client for us is dropped when idle, then lives only in the exchanges that run."""
    idle = {"max_cached_entry_idle_duration": "5s"}  # the least it allows; 50 s by default
    async with running_service(tmp_path, "http2", 1, grpc_async_client_manager_config=idle) as service:
        assert "200" == (await (await service.stream(seconds=7))).label
        assert "200" == (await ask(service.port, SHORT)).label
