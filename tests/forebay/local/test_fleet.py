"""Engines come and go, and everybody knows of them in time: Envoy from the order to the end, gateways in between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from forebay.local import fleet as fleets
from forebay.local.fleet import LocalFleet
from forebay.local.ports import Ports
from forebay.local.supervision.supervisor import Supervisor
from gateway.config.pools import PoolSettings
from tests.support.polling import until
from tests.support.slow_answer import a_long_answer


@dataclass(frozen=True)
class Kind:
    gpu: str = ""
    label: str = "H100"
    deployment: str = "e"


KIND = Kind()


@dataclass
class Running:
    """A fleet, and what it said."""

    fleet: LocalFleet
    supervisor: Supervisor
    lines: list[str]

    def serving(self) -> dict[str, str]:
        """Addresses of the engines that gateways know, by name."""
        (model,) = yaml.safe_load(self.fleet.models_file.read_text())
        return {endpoint["name"]: endpoint["address"] for endpoint in model["endpoints"]}

    async def known(self) -> set[str]:
        """Engines that Envoy knows."""
        async with aclosing(self.fleet.watch()) as described:
            return {endpoint.name for endpoint in (await anext(described)).endpoints}

    def processes(self) -> set[str]:
        return {spec.name for spec, _ in self.supervisor.running()}


@contextlib.asynccontextmanager
async def a_fleet(
    directory: Path, startup_s: float = 0.0, pools: Sequence[PoolSettings] = ()
) -> AsyncIterator[Running]:
    (directory / "logs").mkdir()
    lines = list[str]()
    supervisor = Supervisor(lines.append)
    with contextlib.closing(Ports()) as ports:
        fleet = LocalFleet(directory, ports, supervisor, lines.append, role="test", startup_s=startup_s, pools=pools)
        try:
            async with fleet.running():
                yield Running(fleet, supervisor, lines)
        finally:
            await supervisor.stop()


async def test_engines_come_before_an_api_and_envoy_knows_both(tmp_path: Path):
    api = {"url": "https://api.example", "key_env": "KEY", "models": {"m": "m"}}
    pools = [{"name": "cloud", "priority": 1, "api": api}, {"name": "own", "priority": 0}]
    async with a_fleet(tmp_path, pools=list(map(PoolSettings.model_validate, pools))) as running:
        running.fleet.adjust(KIND, 1)
        await until(lambda: {"e-1"} == running.serving().keys())

        (model,) = yaml.safe_load(running.fleet.models_file.read_text())
        assert ["own"] == [endpoint["pool"] for endpoint in model["endpoints"]]
        async with aclosing(running.fleet.watch()) as described:
            endpoints = (await anext(described)).endpoints
        assert {("e-1", 0), ("cloud", 1)} == {(one.name, one.pool_priority) for one in endpoints}


async def test_envoy_knows_an_engine_before_gateways_do_and_until_it_has_ended(tmp_path: Path):
    async with a_fleet(tmp_path, startup_s=1.0) as running, httpx.AsyncClient(trust_env=False, timeout=60) as user:
        running.fleet.adjust(KIND, 1, "a test wants it")
        assert ({"e-1"}, {}) == (await running.known(), running.serving())
        await until(lambda: {"e-1"} == running.serving().keys())
        answer = await a_long_answer(user, f"http://{running.serving()['e-1']}", 60, tokens_per_s=20)

        running.fleet.adjust(KIND, 0)
        await until(lambda: not running.serving())
        assert ({"e-1"}, 1) == (await running.known(), running.fleet.draining(KIND))

        assert 200 == (await answer).status_code
        await until(lambda: not running.processes())
        await until(lambda: not running.fleet.draining(KIND))
        assert set() == await running.known()
        assert "test       e: 0 -> 1 replicas: a test wants it" in running.lines


async def test_the_youngest_goes_first_and_numbers_are_not_used_again(tmp_path: Path):
    async with a_fleet(tmp_path) as running:
        await running.fleet.start({KIND: 2})
        assert {"e-1", "e-2"} == running.serving().keys()

        running.fleet.adjust(KIND, 1)
        await until(lambda: {"e-1"} == running.serving().keys())
        running.fleet.adjust(KIND, 2)

        await until(lambda: {"e-1", "e-3"} == running.serving().keys())


async def test_a_change_of_the_fleet_is_told_at_once(tmp_path: Path):
    async with a_fleet(tmp_path, startup_s=3600.0) as running, aclosing(running.fleet.watch()) as described:
        assert () == (await anext(described)).endpoints
        later = asyncio.ensure_future(anext(described))
        await asyncio.sleep(0.05)
        assert not later.done()

        running.fleet.adjust(KIND, 2)

        assert ["e-1", "e-2"] == [endpoint.name for endpoint in (await later).endpoints]
        running.fleet.adjust(KIND, 0)
        await until(lambda: not running.processes())


async def test_one_that_is_not_wanted_sleeps_and_is_woken_before_another_is_started(tmp_path: Path):
    async with a_fleet(tmp_path) as running, httpx.AsyncClient(trust_env=False, timeout=60) as user:
        await running.fleet.start({KIND: 3})
        addresses = running.serving()
        running.fleet.adjust(KIND, 1, keep_asleep=1)
        await until(lambda: running.processes() == {"e-1", "e-2"})
        await until(lambda: "test       e-2 sleeps" in running.lines)
        asleep = (await user.get(f"http://{addresses['e-2']}/is_sleeping")).json()
        assert ({"is_sleeping": True}, {"e-1"}, 0) == (asleep, running.serving().keys(), running.fleet.draining(KIND))
        assert [1, 2] == [len(running.fleet.wanted(KIND)), len(await running.known())]

        running.fleet.adjust(KIND, 3, keep_asleep=1)
        await until(lambda: running.serving().keys() == {"e-1", "e-2", "e-4"})
        assert {"is_sleeping": False} == (await user.get(f"http://{addresses['e-2']}/is_sleeping")).json()

        running.fleet.adjust(KIND, 2, keep_asleep=1)
        await until(lambda: "test       e-4 sleeps" in running.lines)
        running.fleet.adjust(KIND, 2, keep_asleep=0)
        await until(lambda: running.processes() == {"e-1", "e-2"})


async def test_one_that_is_wanted_again_before_it_sleeps_goes_on(tmp_path: Path):
    async with a_fleet(tmp_path) as running:
        await running.fleet.start({KIND: 1})
        running.fleet.adjust(KIND, 0, keep_asleep=1)
        await until(lambda: not running.serving())
        running.fleet.adjust(KIND, 1, keep_asleep=1)
        await until(lambda: {"e-1"} == running.serving().keys())
        assert not any("sleeps" in line for line in running.lines)


async def test_one_that_cannot_sleep_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fleets, "SLEEP", "/sleep?level=7")
    async with a_fleet(tmp_path) as running:
        await running.fleet.start({KIND: 1})
        running.fleet.adjust(KIND, 0, keep_asleep=1)
        await until(lambda: not running.processes())
        assert "test       e-1 cannot sleep: status 400" in running.lines
