"""Simulated engines for tests: running ones with a client, and the figures of their /metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from simulator.profile import Profile, Speed
from simulator.serve import RunningEngine, running_engine
from tests.support.polling import until

FAST = Speed(ttft_s=0.001, prefill_tokens_per_s=1e9, tokens_per_s=2000.0)
STOPPED = Speed(ttft_s=3600.0)
"""No token comes before a test is over."""


def a_profile(**changes: Any) -> Profile:
    return Profile(**{"model": "tiny", "speed": FAST} | changes)


def a_chat(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5} | changes


@asynccontextmanager
async def an_engine(**changes: Any) -> AsyncIterator[tuple[RunningEngine, httpx.AsyncClient]]:
    """An engine with profile `changes` and a client of it."""
    limits = httpx.Limits(max_connections=None)
    async with (
        running_engine(a_profile(**changes)) as running,
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
