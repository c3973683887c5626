"""Access-log entries of real Envoys reach any worker of two gateways, or none for a while: requests settle exactly."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import Settings
from gateway.discovery.models import describe
from gateway.envoy.config import render
from tests.support.envoy import running_envoy
from tests.support.gateways import Gateways, running_gateways, tokens
from tests.support.outage import IN_FLIGHT, Load, ask, labels, request
from tests.support.polling import until
from tests.support.ports import free_address, free_ports

pytestmark = pytest.mark.e2e
BROKEN_S = 10.0
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
SHORT = request("lgy", max_tokens=5)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The folder of the second Envoy."""
    folder = tmp_path / "second"
    folder.mkdir()
    return folder


@contextlib.asynccontextmanager
async def another_envoy(stack: Gateways, folder: Path, through: str = "") -> AsyncIterator[int]:
    """A second Envoy in front of both gateways; its port.  It sends the usage log to the address `through`."""
    listen, admin = free_ports(2)
    addresses = {"listen": f"127.0.0.1:{listen}", "admin": f"127.0.0.1:{admin}"}
    settings = Settings.model_validate(
        {**stack.settings.model_dump(), "envoy": {**stack.settings.envoy.model_dump(), **addresses}}
    )
    resources = render(settings, describe(settings.models))["static_resources"]
    if through:
        (processor,) = [cluster for cluster in resources["clusters"] if cluster["name"] == "processor"]
        host, _, port = through.rpartition(":")
        socket = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
        logs = {"cluster_name": "logs", "endpoints": [{"lb_endpoints": [{"endpoint": socket}]}]}
        resources["clusters"].append({**processor, "name": "logs", "load_assignment": logs, "health_checks": []})
        assert 1 == send_usage_to("logs", resources)
    async with running_envoy(settings, folder, static_resources=resources):
        yield listen


def send_usage_to(cluster: str, config: Any) -> int:
    """Change where the usage log of a configuration goes; how many were changed."""
    if isinstance(config, list):
        return sum(send_usage_to(cluster, each) for each in config)
    if not isinstance(config, dict):
        return 0
    if config.get("log_name") == "usage":
        config["grpc_service"]["envoy_grpc"]["cluster_name"] = cluster
        return 1
    return sum(send_usage_to(cluster, each) for each in config.values())


class Cut:
    """A TCP line to an address, which can be cut: then what is open ends, and new connections are closed at once."""

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self.is_cut = False
        self.refused = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The address of its near end."""
        address = free_address()
        async with await asyncio.start_server(self._serve, "127.0.0.1", int(address.rpartition(":")[2])):
            yield address
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            self.refused += 1
            writer.transport.abort()
            return
        there, onward = await asyncio.open_connection(self._host, int(self._port))
        ends = {writer, onward}
        self._writers |= ends
        await asyncio.gather(_carry(reader, onward), _carry(there, writer))
        self._writers -= ends


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
    writer.close()


async def outcomes(stack: Gateways) -> dict[str, float]:
    """Requests by outcome, over both gateways."""
    found = {each: await stack.gauge("forebay_requests_total", outcome=each) for each in ("ok", "unknown", "cut")}
    return {outcome: count for outcome, count in found.items() if count}


async def test_two_envoys_in_front_of_two_gateways_settle_every_request_at_its_own_worker(tmp_path: Path, second: Path):
    patient = {"settle_grace_s": 10}  # a busy machine passes entries on late
    async with running_gateways(tmp_path, limits=patient) as stack, another_envoy(stack, second) as port:
        await stack.create("lgy", rpm=100_000)
        wires = [SHORT] * 3 + [request("lgy", max_tokens=20, **USAGE)] * 3
        loads = [Load(each, wires).start() for each in (stack.port, port)]
        for load in loads:
            await load.succeeds(time.monotonic(), 60)
        for load in loads:
            await load.stop()
        await stack.settles()

        seen = [each for load in loads for each in load.outcomes]
        assert {"200": len(seen)} == labels(seen)
        assert (len(seen), sum(map(tokens, seen))) == await stack.usage("lgy")
        learned = await outcomes(stack)
        assert len(seen) == sum(learned.values())
        assert learned["ok"] > 0.9 * len(seen)  # half of them, if entries were not passed on


async def test_a_request_whose_gateway_was_killed_is_settled_exactly_by_another(tmp_path: Path):
    async with running_gateways(tmp_path) as stack:
        await stack.create("lgy", rpm=100_000)
        await stack.set_speed(tokens_per_s=8)
        wire = request("lgy", max_tokens=48, **USAGE)
        asked = [asyncio.create_task(ask(stack.port, wire)) for _ in range(8)]

        async def all_run() -> bool:
            return 8 == await stack.gauge(IN_FLIGHT)

        await until(all_run)
        assert min([await stack.gauge_of(index, IN_FLIGHT) for index in (0, 1)]) > 0
        await stack.gateways[1].end(signal.SIGKILL)
        answers = await asyncio.gather(*asked)

        assert {"200": 8} == labels(answers)

        async def is_settled() -> bool:
            return (8, sum(map(tokens, answers))) == await stack.usage("lgy")

        await until(is_settled)
        await stack.gateways[1].start()
        await stack.settles()


async def test_a_log_stream_broken_for_10_s_leaves_nothing_counted_and_late_entries_charge_nothing(
    tmp_path: Path, second: Path
):
    async with running_gateways(tmp_path) as stack, contextlib.AsyncExitStack() as parts:
        line = Cut(stack.settings.listen.grpc)
        through = await parts.enter_async_context(line.running())
        port = await parts.enter_async_context(another_envoy(stack, second, through))
        await stack.create("lgy", rpm=100_000)
        whole = Load(port, [SHORT] * 4).start()
        await whole.succeeds(time.monotonic())
        await whole.stop()
        await stack.settles()
        used = sum(map(tokens, whole.outcomes))
        assert (len(whole.outcomes), used) == await stack.usage("lgy")

        cut_s = time.monotonic()
        line.cut()
        blind = Load(port, [SHORT] * 4).start()
        await blind.succeeds(cut_s)
        await blind.stop()
        await stack.settles()
        requests, estimated = await stack.usage("lgy")
        assert {"200"} == labels(blind.outcomes).keys()
        assert len(whole.outcomes) + len(blind.outcomes) == requests
        await asyncio.sleep(max(0.0, cut_s + BROKEN_S - time.monotonic()))

        line.is_cut = False
        again = await ask(port, SHORT)
        await stack.settles()

        async def is_exact() -> bool:
            return (requests + 1, estimated + tokens(again)) == await stack.usage("lgy")

        await until(is_exact)
        assert line.refused
