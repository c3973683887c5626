"""One of four engines is killed under load: nothing goes there any more but trials, and no request is lost."""

import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.grave import grave
from tests.support.outage import MODEL, Load, Stack, ask, labels, request, running_up
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.programs import Program, program
from tests.support.stage import LONG, PICKS, Cast
from tests.support.waiting import until as until_true

pytestmark = pytest.mark.e2e

GPUS = ("H100", "A100", "L20", "A100")
STRATEGIES = ("forebay", "least-request", "random", "prefix-cache", "power-of-two", "least-kv-cache")
MOMENT_S = 0.5
"""Closer together than this, requests come from one decision to try the pod; half of what is between two of them."""


@dataclass
class Four:
    """Four engines behind one gateway, the first of which is to die."""

    stack: Stack
    doomed: Program
    address: str

    def load(self) -> Load:
        """Streams and plain requests by all sorts of strategies, without end."""
        plain = [request(max_tokens=20, strategy=strategy) for strategy in STRATEGIES]
        streams = [request(max_tokens=100, strategy=strategy, stream=True) for strategy in STRATEGIES]
        return Load(self.stack.port, plain + streams).start()

    async def kill(self) -> float:
        """As the kernel does; the time."""
        os.kill(self.doomed.process.pid, signal.SIGKILL)
        killed_s = time.monotonic()
        await self.doomed.process.wait()
        return killed_s

    async def is_unhealthy(self) -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            pods = (await client.get(f"{self.stack.env['HTTP']}/debug/endpoints")).json()
        return [pod["state"] for pod in pods if pod["address"] == self.address] == ["unhealthy"]


@contextlib.asynccontextmanager
async def four_engines(data: Path, config: str = "") -> AsyncIterator[Four]:
    """All answer."""
    addresses = [free_address() for _ in GPUS]
    async with contextlib.AsyncExitStack() as parts:
        engines = [
            program("forebay", "engine", "--model", MODEL, "--gpu", gpu, "--port", address.rpartition(":")[2])
            for gpu, address in zip(GPUS, addresses, strict=True)
        ]
        programs = [await parts.enter_async_context(engine) for engine in engines]
        stack = await parts.enter_async_context(running_up(data, "--engines", "0", config=config))
        for each in programs:
            await each.prints("engine")
        endpoints = [{"address": address, "name": f"pod-{n}"} for n, address in enumerate(addresses)]
        (stack.data / "models.yaml").write_text(yaml.safe_dump([{"name": MODEL, "endpoints": endpoints}]))

        async def answers() -> bool:
            return "200" == (await ask(stack.port, request(max_tokens=1))).label

        await until(answers)
        yield Four(stack, programs[0], addresses[0])


def moments(times_s: Sequence[float]) -> list[int]:
    """How many of them fall together, one number for each moment."""
    counts: list[int] = []
    for before, now in zip((float("-inf"), *times_s), times_s, strict=False):
        if now - before > MOMENT_S:
            counts.append(0)
        counts[-1] += 1
    return counts


def assert_none_was_lost(load: Load, killed_s: float) -> None:
    """But answers that the dead engine had begun."""
    lost = [each for each in load.outcomes if each.label != "200"]
    begun = [each for each in lost if each.pod == "pod-0" and each.sent_s < killed_s]
    assert begun == lost, labels(lost)
    assert {"pod-1", "pod-2", "pod-3"} == {each.pod for each in load.outcomes if each.sent_s > killed_s}


async def settles(four: Four, load: Load) -> None:
    await load.stop()
    await four.stack.settles()


async def test_only_single_trials_at_growing_distances_go_to_an_engine_that_failed(tmp_path: Path):
    async with four_engines(tmp_path / "up", "health: {failures: 1000}") as four:  # requests alone find out
        load = four.load()
        await load.succeeds(time.monotonic(), 50)
        killed_s = await four.kill()
        async with grave(four.address) as dug:
            await until(lambda: len(moments(dug.posts_s)) >= 3)
            await settles(four, load)

    first, *trials = moments(dug.posts_s)
    assert [1] * len(trials) == trials
    assert first <= 4  # what was on its way when the first failure was told; answers take a hundred times as long
    assert len(load.since(killed_s)) > 50
    assert_none_was_lost(load, killed_s)


async def test_nothing_goes_to_an_engine_that_fails_its_health_checks(tmp_path: Path):
    async with four_engines(tmp_path / "up", "health: {interval_s: 0.2}") as four:
        load = four.load()
        await load.succeeds(time.monotonic(), 50)
        killed_s = await four.kill()
        async with grave(four.address) as dug:
            await until(four.is_unhealthy)
            await load.goes_round(time.monotonic())  # what was routed before has ended
            seen = len(dug.posts_s)
            await load.succeeds(time.monotonic(), 60)
            await settles(four, load)

    assert seen == len(dug.posts_s)
    assert_none_was_lost(load, killed_s)


def test_a_refused_connection_sets_an_engine_aside_while_its_request_is_answered_elsewhere(cast: Cast):
    cast.describe({"l4": free_address()}, strategy="least-request")
    with (
        cast.holding(a100=1, h100=1, l20=1),
        cast.stack.stream(cast.user, model=cast.model, max_tokens=LONG) as answer,
    ):
        assert (200, False) == (answer.status_code, answer.headers["target-pod"].endswith("l4"))
        until_true(lambda: cast.state("l4")["ejected"])
        assert {200} == {cast.ask().status_code for _ in range(PICKS)}
        assert f"{cast.model}-l4" not in [latest["chosen"] for latest in cast.decisions()[:PICKS]]
