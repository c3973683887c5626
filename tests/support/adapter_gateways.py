"""Gateways without transports that keep adapters on engines: whole workers, with a real Redis and real engines."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.adapters.records import Wanted
from gateway.config.section import AUTO
from gateway.config.settings import EndpointSettings, HealthSettings, ModelSettings, RedisSettings, Settings
from gateway.worker.launch import Place
from gateway.worker.worker import Worker
from tests.support.polling import until

MODEL = "tiny"


@asynccontextmanager
async def a_gateway(redis_url: str, *addresses: str, waits: bool = False) -> AsyncIterator[Worker]:
    """One that knows the engines at these addresses, and which of them answer."""
    endpoints = tuple(EndpointSettings(address=one, name=one, adapters=(AUTO,)) for one in addresses)
    settings = Settings(
        models=(ModelSettings(name=MODEL, endpoints=endpoints, waits_for_adapters=waits),),
        redis=RedisSettings(url=redis_url, timeout_s=5),
        health=HealthSettings(interval_s=0.1, failures=1),
    )
    worker = Worker(settings, Place(0, "127.0.0.1:4", None))
    async with worker.running():
        yield worker


def an_adapter(name: str = "ad", replicas: int = 1, **fields: str) -> Wanted:
    return Wanted(name, **{"model": MODEL, "path": f"/{name}"} | fields, replicas=replicas)


def having(gateway: Worker, name: str) -> list[str]:
    """The pods to which the gateway sends requests for an adapter."""
    return sorted(pod.endpoint.name for pod in gateway.fleet.pods() if name in pod.endpoint.models)


async def comes_to(gateway: Worker, name: str, *places: str) -> float:
    """Wait until the gateway sends requests for an adapter there, and nowhere else; return the seconds it took."""
    began_s = time.monotonic()
    await until(lambda: having(gateway, name) == sorted(places))
    return time.monotonic() - began_s


async def all_ready(gateway: Worker, number: int) -> None:
    """Wait until so many pods are ready."""
    await until(lambda: gateway.fleet.endpoint_counts().get((MODEL, "ready")) == number)
