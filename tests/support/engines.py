"""Simulated engines for tests: running ones with a client, and the figures of their /metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from simulator.core.gpus import GpuProfile
from simulator.core.profile import DEFAULT_GPU, Profile
from simulator.core.speed import steady
from simulator.serving.server import RunningEngine, running_engine
from tests.support.polling import until

FAST = steady(2000)
STOPPED = steady(1 / 3600)
"""No token comes before a test is over."""


def a_profile(**changes: Any) -> Profile:
    """Fields of Profile and of GpuProfile."""
    of_gpu = {field.name: changes.pop(field.name) for field in fields(GpuProfile) if field.name in changes}
    return Profile(**{"model": "tiny", "gpu": replace(DEFAULT_GPU, **{"speed": FAST} | of_gpu)} | changes)


def a_chat(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5} | changes


def asking(text: str, **changes: Any) -> dict[str, Any]:
    """A chat of one question whose answer ends by itself."""
    return a_chat(messages=[{"role": "user", "content": text}], max_tokens=None) | changes


async def choice_of(client: httpx.AsyncClient, body: dict[str, Any]) -> Any:
    """The first choice of the answer to a chat."""
    answer = await client.post("/v1/chat/completions", json=body)
    assert 200 == answer.status_code, answer.text
    return answer.json()["choices"][0]


@asynccontextmanager
async def an_engine(kv_events: str = "", **changes: Any) -> AsyncIterator[tuple[RunningEngine, httpx.AsyncClient]]:
    """An engine with profile `changes` and a client of it."""
    limits = httpx.Limits(max_connections=None)
    async with (
        running_engine(a_profile(**changes), kv_events=kv_events) as running,
        httpx.AsyncClient(base_url=running.url, timeout=30, limits=limits) as client,
    ):
        yield running, client


async def figure(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    """The sum of the samples of `name` that carry `labels`."""
    text = (await client.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    assert found, f"no {name} with {labels}"
    return sum(found)


async def until_figure(client: httpx.AsyncClient, value: float, name: str, **labels: str) -> None:
    """Return as soon as /metrics says `value`."""

    async def reached() -> bool:
        return await figure(client, name, **labels) == value

    await until(reached)
