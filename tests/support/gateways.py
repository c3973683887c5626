"""Two `forebay gateway`s of two workers each, behind one Envoy, with one Redis and two simulated engines."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from gateway.config.settings import Settings
from tests.support.certificates import Authority, mutual_tls, to_gateways
from tests.support.envoy import running_envoy
from tests.support.outage import IN_FLIGHT, MODEL, RESERVED, Load, Outcome, gauge_of, labels, set_speed_of, usage_of
from tests.support.polling import until
from tests.support.ports import free_ports
from tests.support.programs import Program, program
from tests.support.redis import RedisServer, redis_server

WORKERS = 2
"""The workers of each gateway."""


class Part:
    """A program that can be ended and started again, at the same addresses."""

    def __init__(self, *command: str, ready: str) -> None:
        self._command = command
        self._ready = ready
        self._scope = contextlib.AsyncExitStack()
        self.program: Program

    async def start(self) -> None:
        """Return when it is ready."""
        self.program = await self._scope.enter_async_context(program(*self._command))
        await self.program.prints(self._ready)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait for the end; do nothing when it has ended."""
        await self.program.end(number)
        await self._scope.aclose()

    async def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        await self.end(number)
        await self.start()

    def children(self) -> list[int]:
        """The ids of its processes: a gateway's workers."""
        pid = self.program.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class EnvoyPart:
    """Envoy, which can be ended and started again."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._scope = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Return when it listens."""
        await self._scope.enter_async_context(running_envoy(self._settings, self._folder))

    async def restart(self) -> None:
        await self.end()
        await self.start()

    async def end(self) -> None:
        await self._scope.aclose()


@dataclass
class Gateways:
    """All of it."""

    settings: Settings  # of the first gateway and Envoy
    redis: RedisServer
    engines: list[Part]
    gateways: list[Part]
    envoy: EnvoyPart
    https: list[str]

    @property
    def port(self) -> int:
        """The port that users send requests to."""
        return int(self.settings.envoy.listen.rpartition(":")[2])

    async def create(self, name: str, **limits: int) -> None:
        """Make a user."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            url = f"http://{self.settings.listen.admin}/CreateUser"
            (await client.post(url, json={"name": name, **limits})).raise_for_status()

    async def usage(self, user: str) -> tuple[int, int]:
        """Requests and tokens in the user's window."""
        return await usage_of(user, f"http://{self.settings.listen.admin}")

    async def gauge(self, name: str, **labels: str) -> float:
        """The sum of a metric's series with these labels, over all gateways."""
        return sum([await self.gauge_of(index, name, **labels) for index in range(len(self.https))])

    async def gauge_of(self, index: int, name: str, **labels: str) -> float:
        """The same of one gateway; 0 when it has no such series, because nothing was counted."""
        return await gauge_of(f"http://{self.https[index]}", name, **labels) or 0.0

    async def set_speed(self, **speed: float) -> None:
        """Make every engine this fast from now on."""
        await set_speed_of([f"http://{each.address}" for each in self.settings.models[0].endpoints], **speed)

    async def settles(self) -> None:
        """Wait until nothing is in flight and nothing is reserved at any worker."""

        async def at_rest() -> bool:
            return [0.0, 0.0] == [await self.gauge(IN_FLIGHT), await self.gauge(RESERVED)]

        await until(at_rest, every_s=0.1)

    async def rolls_under(self, load: Load, user: str) -> None:
        """Restart each gateway under this user's load, end the load, and expect that all was served and charged."""
        for gateway in self.gateways:
            await gateway.restart()
            await load.succeeds(time.monotonic(), 30)
        await load.stop()
        await self.settles()

        assert {"200"} == labels(load.outcomes).keys()
        assert (len(load.outcomes), sum(map(tokens, load.outcomes))) == await self.usage(user)


@contextlib.asynccontextmanager
async def running_gateways(
    folder: Path, *, private: bool = False, authority: Authority | None = None, **fields: Any
) -> AsyncIterator[Gateways]:
    """All of it, ready; `fields` are further settings.

    `private`: Envoy knows the address of each worker; else the workers of a gateway share its `listen.grpc`.
    `authority`: Envoy and the gateways speak mutual TLS with certificates of its.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(14)]
    listens: list[dict[str, Any]] = [
        dict(zip(("grpc", "http", "admin"), addresses[at : at + 3], strict=True)) for at in (0, 3)
    ]
    workers = [addresses[6:8], addresses[8:10]]
    if private:
        for listen, own in zip(listens, workers, strict=True):
            listen["workers"] = own
    envoy: dict[str, Any] = {
        "listen": addresses[10],
        "admin": addresses[11],
        "gateways": [*workers[0], *workers[1]] if private else [listen["grpc"] for listen in listens],
    }
    if authority:
        envoy["gateway_tls"] = to_gateways(authority)
        for listen in listens:
            listen["tls"] = mutual_tls(authority)
    endpoints = [{"address": address, "name": f"pod-{n}"} for n, address in enumerate(addresses[12:])]
    async with contextlib.AsyncExitStack() as parts:
        redis = parts.enter_context(redis_server())
        common = {"redis": {"url": redis.url}, "envoy": envoy, "models": [{"name": MODEL, "endpoints": endpoints}]}
        engines = [_engine(address) for address in addresses[12:]]
        gateways = [
            _gateway(folder / f"gateway-{n}.yaml", {**common, "listen": listen, **fields})
            for n, listen in enumerate(listens)
        ]
        for part in (*engines, *gateways):
            parts.push_async_callback(part.end)
        await asyncio.gather(*(part.start() for part in (*engines, *gateways)))
        settings = Settings.model_validate({**common, "listen": listens[0], **fields})
        front = EnvoyPart(settings, folder)
        parts.push_async_callback(front.end)
        await front.start()
        yield Gateways(settings, redis, engines, gateways, front, [listen["http"] for listen in listens])


def _engine(address: str) -> Part:
    return Part("forebay", "engine", "--model", MODEL, "--port", address.rpartition(":")[2], ready="engine")


def _gateway(file: Path, settings: dict[str, Any]) -> Part:
    file.write_text(yaml.safe_dump(settings))
    return Part("forebay", "gateway", "--config", str(file), "--workers", str(WORKERS), ready="ready:")


def tokens(outcome: Outcome) -> int:
    """The usage that the answer tells."""
    body = outcome.body
    if body.startswith(b"data:"):
        body = body.split(b"data: ")[-2]
    return int(orjson.loads(body)["usage"]["total_tokens"])
