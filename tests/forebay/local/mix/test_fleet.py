"""The engines of a mix follow what is published: real engines, and a small server in the optimizer's place."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from forebay.local import fleet as local
from forebay.local.engines import MODEL
from forebay.local.mix import fleet as module
from forebay.local.mix.fleet import MixFleet
from forebay.local.mix.gpu_types import Mix, parse_mix
from forebay.local.ports import Ports
from forebay.local.supervision.supervisor import Supervisor
from optimizer.profiles.capacity import Slo
from tests.support.polling import until
from tests.support.publishing import Publisher
from tests.support.slow_answer import a_long_answer


@dataclass
class Running:
    """A fleet that follows, and what it said."""

    fleet: MixFleet
    supervisor: Supervisor
    publisher: Publisher
    lines: list[str]

    def endpoints(self) -> dict[str, dict[str, Any]]:
        (model,) = yaml.safe_load(self.fleet.models_file.read_text())
        assert MODEL == model["name"]
        return {endpoint["name"]: endpoint for endpoint in model["endpoints"]}

    def deployments(self) -> dict[str, tuple[int, int]]:
        """Replicas and ready ones by deployment."""
        listed = yaml.safe_load(self.fleet.deployments_file.read_text())["deployments"]
        return {each["name"]: (each["replicas"], each["ready"]) for each in listed}

    def processes(self) -> set[str]:
        return {spec.name for spec, _ in self.supervisor.running()}

    def said(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    async def serve(self, *names: str) -> None:
        """Wait until exactly these are listed, and no other process is there."""
        wanted = set(names)
        await until(lambda: wanted == self.endpoints().keys() and wanted == self.processes())


@contextlib.asynccontextmanager
async def following(directory: Path, types: str, startup_s: float = 0.0, **replicas: int) -> AsyncIterator[Running]:
    (directory / "logs").mkdir()
    publisher, lines = Publisher(replicas=replicas), list[str]()
    supervisor = Supervisor(lines.append)
    with contextlib.closing(Ports()) as ports:
        mix = Mix(parse_mix(types), Slo(2.0, 0.05), startup_s)
        fleet = MixFleet(mix, directory, ports, supervisor, lines.append)
        try:
            async with publisher.serving(), fleet.running():
                await fleet.start_least()
                fleet.follow(publisher.address)
                yield Running(fleet, supervisor, publisher, lines)
        finally:
            await supervisor.stop()


async def test_the_least_replicas_are_there_at_once_and_the_published_ones_follow(tmp_path: Path):
    async with following(tmp_path, "L20:1.0:0:2,V100:0.6:1:2") as mix:
        assert {"v100-1"} == mix.endpoints().keys()
        assert {"l20": (0, 0), "v100": (1, 1)} == mix.deployments()

        mix.publisher.replicas |= {"l20": 1, "v100": 1}
        await mix.serve("v100-1", "l20-1")
        assert ["L20", "l20", "vllm"] == [mix.endpoints()["l20-1"][key] for key in ("gpu", "deployment", "engine")]
        assert {"l20": (1, 1), "v100": (1, 1)} == mix.deployments()
        assert mix.said("l20: 0 -> 1 replicas")

        mix.publisher.replicas |= {"l20": 0}
        await mix.serve("v100-1")
        await until(lambda: {"l20": (0, 0), "v100": (1, 1)} == mix.deployments())


async def test_more_than_the_most_of_a_type_are_not_started(tmp_path: Path):
    async with following(tmp_path, "L20:1.0:0:1", l20=7) as mix:
        await mix.serve("l20-1")
        await asyncio.sleep(3 * module.POLL_S)
        assert {"l20-1"} == mix.processes()


async def test_an_engine_that_is_let_go_before_its_start_up_time_never_serves(tmp_path: Path):
    async with following(tmp_path, "L20:1.0:0:1", startup_s=3600.0, l20=1) as mix:
        await until(lambda: {"l20-1"} == mix.processes())
        assert {"l20": (1, 0)} == mix.deployments()
        assert {} == mix.endpoints()

        mix.publisher.replicas["l20"] = 0
        await until(lambda: set() == mix.processes())
        assert not mix.said("serves")


async def test_an_engine_ends_only_after_its_requests(tmp_path: Path):
    async with following(tmp_path, "V100:0.6:1", v100=1) as mix, httpx.AsyncClient(trust_env=False, timeout=60) as user:
        answer = await a_long_answer(user, f"http://{mix.endpoints()['v100-1']['address']}", 40, tokens_per_s=10)
        mix.publisher.replicas["v100"] = 0
        await until(lambda: {} == mix.endpoints())

        assert 200 == (await answer).status_code
        await until(lambda: set() == mix.processes())
        assert mix.said("v100-1 drains")


async def test_a_request_that_does_not_end_holds_its_engine_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local, "DRAIN_S", 1.0)
    async with following(tmp_path, "V100:0.6:1", v100=1) as mix, httpx.AsyncClient(trust_env=False, timeout=60) as user:
        answer = await a_long_answer(user, f"http://{mix.endpoints()['v100-1']['address']}", 4000, tokens_per_s=1)
        mix.publisher.replicas["v100"] = 0

        await until(lambda: set() == mix.processes())
        await asyncio.gather(answer, return_exceptions=True)


async def test_while_the_optimizer_is_away_the_engines_stay_and_it_is_said_once(tmp_path: Path):
    async with following(tmp_path, "L20:1.0:0:2,V100:0.6:1:2", l20=1, v100=1) as mix:
        await mix.serve("v100-1", "l20-1")
        mix.publisher.replicas.clear()
        await until(lambda: mix.said("the engines stay as they are") == 1)
        await asyncio.sleep(4 * module.POLL_S)
        assert {"v100-1", "l20-1"} == mix.processes()
        assert 1 == mix.said("the engines stay as they are")

        mix.publisher.replicas |= {"l20": 0, "v100": 1}
        await mix.serve("v100-1")
        assert mix.said("has a plan")


async def test_an_engine_that_was_killed_is_started_again(tmp_path: Path):
    async with following(tmp_path, "V100:0.6:1", v100=1) as mix:
        ((_, pid),) = mix.supervisor.running()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: mix.said("v100-1 ended with status -9") == 1)
        await mix.serve("v100-1")
