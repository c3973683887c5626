"""`forebay gateway` as a process between an Envoy, a Redis and an engine of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import yaml
from grpc import aio

from gateway.config.settings import Settings
from gateway.pb import health_pb2 as health
from simulator.core.profile import DEFAULT_GPU, Profile
from simulator.core.speed import steady
from simulator.serving.serve import running_engine
from tests.support.envoy import a_model, running_envoy
from tests.support.outage import IN_FLIGHT, MODEL, Outcome, ask, request
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.programs import Program, program
from tests.support.redis import redis_server

SLOW = Profile(MODEL, gpu=replace(DEFAULT_GPU, speed=steady(10)))


@dataclass
class Service:
    """`forebay gateway` between an Envoy and an engine of its own."""

    gateway: Program
    settings: Settings
    port: int

    async def stream(self, seconds: float) -> "asyncio.Task[Outcome]":
        """A stream that runs about so long, begun: its first byte has come or will."""
        wire = request("lgy", stream=True, max_tokens=round(10 * seconds))
        asked = asyncio.create_task(ask(self.port, wire))
        await until(self.in_flight)
        return asked

    async def in_flight(self) -> bool:
        return f'{IN_FLIGHT}{{model="{MODEL}"}} 1.0' in await self.page("/metrics")

    async def page(self, path: str) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://{self.settings.listen.http}{path}")).text

    async def says(self) -> tuple[int, int]:
        """The health service's status, and that of /readyz."""
        async with aio.insecure_channel(self.settings.listen.grpc) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health.HealthCheckRequest.SerializeToString,
                response_deserializer=health.HealthCheckResponse.FromString,
            )
            answer = await check(health.HealthCheckRequest())
        async with httpx.AsyncClient(trust_env=False) as client:
            return answer.status, (await client.get(f"http://{self.settings.listen.http}/readyz")).status_code


@asynccontextmanager
async def running_service(folder: Path, transport: str, drain_s: float, **bootstrap: Any) -> AsyncIterator[Service]:
    """All of it; `bootstrap` is added to Envoy's configuration."""
    async with AsyncExitStack() as parts:
        redis = parts.enter_context(redis_server())
        engine = await parts.enter_async_context(running_engine(SLOW))
        settings = Settings.model_validate(
            {
                "listen": {name: free_address() for name in ("grpc", "http", "admin")} | {"workers": [free_address()]},
                "envoy": {name: free_address() for name in ("listen", "admin")},
                "redis": {"url": redis.url},
                "models": [a_model(MODEL, {"engine": engine.address}).model_dump(mode="json")],
                "transport": transport,
                "drain_s": drain_s,
            }
        )
        file = folder / "forebay.yaml"
        file.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True)))
        gateway = await parts.enter_async_context(program("forebay", "gateway", "--config", str(file)))
        await gateway.prints("ready:")
        await parts.enter_async_context(running_envoy(settings, folder, **bootstrap))
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"http://{settings.listen.admin}/CreateUser", json={"name": "lgy", "rpm": 100})
        yield Service(gateway, settings, int(settings.envoy.listen.rpartition(":")[2]))
