"""Two `forebay gateway`s of two workers each, behind one Envoy, with one Redis and two simulated engines."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from gateway.config.settings import Settings
from tests.support.envoy import running_envoy
from tests.support.outage import IN_FLIGHT, MODEL, RESERVED
from tests.support.polling import until
from tests.support.ports import free_ports
from tests.support.programs import Program, program
from tests.support.redis import RedisServer, redis_server

WORKERS = 2


class Part:
    """A program that may be ended and started again at its addresses."""

    def __init__(self, *command: str, ready: str) -> None:
        self._command = command
        self._ready = ready
        self._scope = contextlib.AsyncExitStack()
        self.program: Program

    async def start(self) -> None:
        """Return when it is ready."""
        self.program = await self._scope.enter_async_context(program(*self._command))
        await self.program.prints(self._ready)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit status."""
        status = await self.program.end(number)
        await self._scope.aclose()
        return status

    async def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and start it again."""
        await self.end(number)
        await self.start()

    def workers(self) -> list[int]:
        """The ids of its child processes."""
        pid = self.program.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass
class Replicas:
    """All of it; `settings` are those of Envoy."""

    settings: Settings
    redis: RedisServer
    engines: list[Part]
    gateways: list[Part]
    envoy: "EnvoyPart"
    https: list[str]
    admins: list[str]

    @property
    def port(self) -> int:
        """The port that users send requests to."""
        return int(self.settings.envoy.listen.rpartition(":")[2])

    async def admin(self, call: str, **user: Any) -> httpx.Response:
        """One call of the admin REST."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return await client.post(f"http://{self.admins[0]}/{call}", json=user)

    async def usage(self, user: str) -> tuple[int, int]:
        """Requests and tokens in the user's window."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            page = (await client.get(f"http://{self.admins[0]}/users/{user}/usage")).json()
        return page["requests"], page["tokens"]

    async def gauge(self, name: str) -> float:
        """The sum of a metric over its series and all gateways."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            pages = [(await client.get(f"http://{http}/metrics")).text for http in self.https]
        lines = [line for page in pages for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    async def settles(self) -> None:
        """Wait until nothing is in flight and nothing is reserved at any worker."""

        async def at_rest() -> bool:
            return [0.0, 0.0] == [await self.gauge(IN_FLIGHT), await self.gauge(RESERVED)]

        await until(at_rest, every_s=0.1)


class EnvoyPart:
    """Envoy, which may be restarted."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._scope = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Return when it listens."""
        await self._scope.enter_async_context(running_envoy(self._settings, self._folder))

    async def end(self) -> None:
        """Stop it."""
        await self._scope.aclose()


@contextlib.asynccontextmanager
async def running_replicas(folder: Path, *, with_workers: bool = False, **fields: Any) -> AsyncIterator[Replicas]:
    """All of it, ready; `fields` are further settings.

    With `with_workers` Envoy knows each worker by an address of its own, else two share each gateway's `listen.grpc`.
    """
    ports = [f"127.0.0.1:{port}" for port in free_ports(14)]
    listens = [dict(zip(("grpc", "http", "admin"), ports[n : n + 3], strict=True)) for n in (0, 3)]
    privates, engines, envoy = [ports[6:8], ports[8:10]], ports[10:12], ports[12:14]
    gateways = [*privates[0], *privates[1]] if with_workers else [listen["grpc"] for listen in listens]
    models = [{"name": MODEL, "endpoints": [{"address": address} for address in engines]}]
    async with contextlib.AsyncExitStack() as parts:
        redis = parts.enter_context(redis_server())
        common = {
            "redis": {"url": redis.url},
            "envoy": {"listen": envoy[0], "admin": envoy[1], "gateways": gateways},
            "models": models,
            **fields,
        }
        files = []
        for number, (listen, private) in enumerate(zip(listens, privates, strict=True)):
            file = folder / f"gateway-{number}.yaml"
            file.write_text(
                yaml.safe_dump({**common, "listen": {**listen, **({"workers": private} if with_workers else {})}})
            )
            files.append(file)
        running = [
            *(
                Part("forebay", "engine", "--model", MODEL, "--port", address.rpartition(":")[2], ready="engine")
                for address in engines
            ),
            *(
                Part("forebay", "gateway", "--config", str(file), "--workers", str(WORKERS), ready="ready:")
                for file in files
            ),
        ]
        for part in running:
            parts.push_async_callback(part.end)
        await asyncio.gather(*(part.start() for part in running))
        settings = Settings.model_validate(common)
        envoy_part = EnvoyPart(settings, folder)
        parts.push_async_callback(envoy_part.end)
        await envoy_part.start()
        yield Replicas(
            settings, redis, running[:2], running[2:], envoy_part,
            [listen["http"] for listen in listens], [listen["admin"] for listen in listens],
        )  # fmt: skip
