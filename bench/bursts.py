"""Bursts over several workers, through the real Envoy: how evenly they meet idle pods.

Lives here: the measurement.  Not here: how replicas break ties (routing.ties).
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.load import Client
from bench.processes import free_port, python_module, running
from bench.variants import serving, settings_for
from bench.workloads import BURST

WORKERS, PODS, REQUESTS = 4, 16, 32
BURSTS = 20
PAUSE_S = 0.5
"""Seconds after a burst until the next one, in which all is settled and known."""


@dataclass(frozen=True, slots=True)
class BurstFigures:
    """The most requests on one pod, burst by burst."""

    most: tuple[int, ...]


def measure_bursts(directory: Path, progress: Callable[[str], None]) -> BurstFigures:
    """Measure BURSTS; takes half a minute."""
    progress(f"{BURSTS} bursts of {REQUESTS} over {WORKERS} workers on {PODS} pods")
    ports = [free_port() for _ in range(PODS)]
    settings = settings_for(*ports, workers=WORKERS)
    with ExitStack() as stack:
        stack.enter_context(running("pods", python_module("bench.backend", *map(str, ports)), ports[-1], directory))
        port = stack.enter_context(serving(settings, directory)).port
        return BurstFigures(tuple(uvloop.run(_bursts(port))))


async def _bursts(port: int) -> list[int]:
    client = Client(port)
    await client.open(REQUESTS)
    try:
        await _burst(client)  # opens connections everywhere
        return [await _burst(client) for _ in range(BURSTS)]
    finally:
        await client.close()


async def _burst(client: Client) -> int:
    """Send a burst; return the most requests that went to one pod."""
    pods = await client.send_at_once(BURST.request(), REQUESTS)
    await asyncio.sleep(PAUSE_S)
    return max(Counter(pods).values())
