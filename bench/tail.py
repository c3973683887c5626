"""The tail: added latency with everything at work, the longest lags of the loop, and small requests beside large ones.

Lives here: the measurement.  Not here: the load (load), the instrument in the worker (watch), tables (report).

At work are limits, PODS pods with health checks and scrapes of whole pages, a sibling with as many requests, and
somebody who reads the metrics.  The empty processor has none of it.
"""

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import httpx
import uvloop

from bench.load import Client, at_intervals
from bench.measure import SETTLEMENT_S
from bench.processes import free_ports, python_module, running
from bench.variants import (
    ALONE,
    COMPILED,
    EMPTY,
    FOREBAY,
    Running,
    empty_processor,
    envoy_alone,
    serving,
    settings_for,
)
from bench.watch import SETTLE_S, Lag
from bench.workloads import HUGE, LATENCY, MEGABYTE, RATE, Workload
from gateway.config.settings import Settings

PODS = 8
RUN_S = 4.0
"""Length of a run, in seconds."""
LAG_S = 20.0
"""Seconds in which lags are looked for."""
PAGE_EVERY_S = 5.0
"""Between two readings of the metrics, in seconds."""
LARGE_RATE = 20
"""Large prompts per second."""
SIBLING_S = 120
"""Seconds for which the sibling has messages, at most."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Percentiles of the latency of a variant, in milliseconds, medians over rounds."""

    variant: str
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class TailFigures:
    """All figures of the tail."""

    tails: Sequence[Tail]
    lags: Sequence[Lag]
    """The longest lags of a worker's loop in LAG_S, by the CPU time in them."""
    beside_ms: float
    """The 99th percentile of 200-byte requests beside LARGE_RATE prompts of 1 MB per second, in milliseconds."""
    without_ms: float
    """The same without the large ones."""
    huge_us: Mapping[str, float]
    """CPU for a prompt of 100,000 tokens, in microseconds, by role."""


def measure_tail(
    directory: Path, progress: Callable[[str], None], rounds: int, site: Path | None = None
) -> TailFigures:
    """Measure; takes some two minutes."""
    progress("the tail, with everything at work")
    ports = free_ports(PODS)
    with running("pods", python_module("bench.backend", *map(str, ports)), ports[-1], directory):
        with ExitStack() as stack:
            starts = _variants(ports, directory, site)
            stacks = {name: stack.enter_context(start) for name, start in starts.items()}
            tails = uvloop.run(_tails(stacks, rounds))
            progress("small requests beside large ones")
            gateway = list(stacks.values())[-1]
            without, beside = (uvloop.run(_beside(gateway.port, large)) for large in (None, MEGABYTE))
            huge_us = uvloop.run(_huge_us(gateway))
        progress(f"lags of the loop in {LAG_S:g} s")
        lags = _lags(ports, directory, site)
    return TailFigures(tails, lags, _percentile_ms(beside, 99), _percentile_ms(without, 99), huge_us)


def _variants(
    ports: Sequence[int], directory: Path, site: Path | None
) -> Mapping[str, AbstractContextManager[Running]]:
    alone, empty, forebay = (directory / name for name in ("alone", "empty", "forebay"))
    for place in (alone, empty, forebay):
        place.mkdir()
    return {
        ALONE: envoy_alone(ports[0], alone),
        EMPTY: empty_processor("metadata")(ports[0], empty),
        FOREBAY if site is None else COMPILED: _at_work(settings_for(*ports), forebay, site),
    }


@contextmanager
def _at_work(settings: Settings, directory: Path, site: Path | None, watch: Path | None = None) -> Iterator[Running]:
    """Start a gateway with everything at work; for `watch` see `serving`."""
    with serving(settings, directory, site, watch) as stack, _sibling(settings.redis.url), _reader(settings):
        yield stack


@contextmanager
def _sibling(url: str) -> Iterator[None]:
    """Share with another replica for the length of the block, SIBLING_S at most."""
    argv = python_module("bench.siblings", url, str(PODS), "1", str(RATE), str(SIBLING_S))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - they are pipes
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def _reader(settings: Settings) -> Iterator[None]:
    """Read the metrics every PAGE_EVERY_S."""
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(PAGE_EVERY_S):
            httpx.get(f"http://{settings.listen.http}/metrics", trust_env=False).raise_for_status()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def _send(port: int, workload: Workload, rate: float, seconds: float) -> Sequence[float]:
    """Return the latencies in seconds of requests that are sent when they are due."""
    client = Client(port)
    try:
        return await at_intervals(client, workload.request(), int(rate * seconds), 1 / rate)
    finally:
        await client.close()


async def _tails(stacks: Mapping[str, Running], rounds: int) -> list[Tail]:
    """Measure the variants in turns, after a run of each that is not counted."""
    runs: dict[str, list[Sequence[float]]] = {name: [] for name in stacks}
    for number in range(rounds + 1):
        for name, stack in stacks.items():
            latencies = await _send(stack.port, LATENCY, RATE, RUN_S if number else 1.0)
            if number:
                runs[name].append(latencies)
    return [
        Tail(name, *(median(_percentile_ms(run, percentile) for run in some) for percentile in (50, 99)))
        for name, some in runs.items()
    ]


async def _beside(port: int, large: Workload | None) -> Sequence[float]:
    """Return the latencies of small requests, beside large ones if there are any."""
    async with asyncio.TaskGroup() as sending:
        if large is not None:
            sending.create_task(_send(port, large, LARGE_RATE, RUN_S))
        return await _send(port, LATENCY, RATE, RUN_S)


async def _huge_us(stack: Running) -> dict[str, float]:
    """Return the microseconds of CPU for a prompt of 100,000 tokens, by role."""
    before = stack.cpu_seconds()
    sent = await _send(stack.port, HUGE, LARGE_RATE, RUN_S)
    await asyncio.sleep(SETTLEMENT_S)
    return {role: (after_s - before[role]) / len(sent) * 1e6 for role, after_s in stack.cpu_seconds().items()}


def _lags(ports: Sequence[int], directory: Path, site: Path | None) -> list[Lag]:
    """Return the longest lags of a worker that watches its own loop."""
    place, found = directory / "watched", directory / "lags.json"
    place.mkdir()
    with _at_work(settings_for(*ports), place, site, found) as gateway:
        uvloop.run(_send(gateway.port, LATENCY, RATE, SETTLE_S + LAG_S))
    return [Lag(*lag) for lag in json.loads(found.read_text())]


def _percentile_ms(latencies: Sequence[float], percentile: int) -> float:
    return quantiles(latencies, n=100)[percentile - 1] * 1000
