"""Sharing by itself, without Envoy: CPU and bytes of a replica among others, and how old is what the others know.

Lives here: the measurement.  Not here: the other replicas (siblings), the requests (traffic), tables (report).

One replica is measured, in this process: a real fleet with real requests, a real outbox, the tasks that tell and hear,
and a real Redis.  The same requests without a sibling are subtracted.
"""

import asyncio
import random
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

import uvloop

from bench.processes import cpu_seconds, free_port, python_module, running
from bench.traffic import Traffic, a_replica
from bench.variants import REDIS, redis_argv
from gateway.config.settings import RedisSettings, SharingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.observability.metrics import Metrics
from gateway.sharing.channels import Channels
from gateway.sharing.messages import Share
from gateway.sharing.replicas import Replicas
from gateway.sharing.sharing import Sharing

NAME = "ffffffffffff"
"""The name of the replica that is measured; its siblings count from 0."""
PODS = (10, 100, 1_000)
WORKERS = (2, 8, 32)
RATE = 200.0
"""Requests per second of each worker."""
RUN_S = 4.0
"""Length of a run, in seconds."""
SETTLE_S = 1.0
"""The first part of a run, which is not counted."""
FEW = 3
"""Fewer ages than these have no percentiles (chosen)."""
TOLERANCE_S = 0.001
"""Seconds between two readings of the clock for the same moment, at most (chosen)."""
STEP_S = 0.002
"""Between two looks at which requests are due, in seconds."""


@dataclass(frozen=True, slots=True)
class SharingSample:
    """One run.  `core` is the share of a core that sharing takes of a worker, `redis_core` what it takes of Redis."""

    pods: int
    workers: int
    core: float
    redis_core: float
    sent_bytes_s: float
    received_bytes_s: float
    ages_s: tuple[float, ...]
    """How long ago requests began or ended when the others could know of it."""

    @property
    def age_ms(self) -> tuple[float, float] | tuple[None, None]:
        """The median and the 99th percentile of `ages_s`, in milliseconds; None of too few."""
        if len(self.ages_s) < FEW:
            return None, None
        return median(self.ages_s) * 1000, quantiles(self.ages_s, n=100)[98] * 1000


class Counts(Metrics):
    """Counts bytes, and takes the ages of what was told when a message has come back to its sender."""

    def __init__(self) -> None:
        super().__init__(())
        self.reset()

    def reset(self) -> None:
        """Begin to count."""
        self.bytes = {"sent": 0, "received": 0}
        self.told: deque[tuple[float, list[float]]] = deque()  # when a message was sent, and the events that it tells
        self.ages_s: list[float] = []

    def count_shared(self, direction: str, size: int) -> None:
        """Count bytes."""
        self.bytes[direction] += size

    def observe_sharing_delay(self, seconds: float) -> None:
        """Take the ages."""
        now_s = time.monotonic()
        while self.told and self.told[0][0] <= now_s - seconds + TOLERANCE_S:
            _, events_s = self.told.popleft()
            self.ages_s += [now_s - event_s for event_s in events_s]


class DatedOutbox:
    """An outbox that keeps the times of the events that a message tells."""

    def __init__(self, outbox: Outbox, traffic: Traffic, counts: Counts) -> None:
        self._outbox = outbox
        self._traffic = traffic
        self._counts = counts

    @property
    def is_urgent(self) -> bool:
        """See Outbox."""
        return self._outbox.is_urgent

    def take(self, now_s: float) -> Share | None:
        """See Outbox."""
        self._counts.told.append((now_s, self._traffic.events_s))
        self._traffic.events_s = []
        return self._outbox.take(now_s)

    def everything(self, now_s: float) -> Share:
        """See Outbox."""
        return self._outbox.everything(now_s)


@dataclass(frozen=True, slots=True)
class SharingFigures:
    """Samples by pods and workers under load, and idle ones by workers."""

    loaded: tuple[SharingSample, ...]
    idle: tuple[SharingSample, ...]


def measure_sharing(directory: Path, progress: Callable[[str], None]) -> SharingFigures:
    """Measure all; takes some two minutes."""
    port = free_port()
    with running(f"sharing-{REDIS}", redis_argv(port), port, directory) as redis_pid:

        def run(pods: int, workers: int, rate: float) -> SharingSample:
            progress(f"sharing: {pods} pods, {workers} workers, {rate:g} requests per second")
            return uvloop.run(_run(f"redis://127.0.0.1:{port}/0", redis_pid, pods, workers, rate))

        loaded = []
        for pods in PODS:
            alone = run(pods, 0, RATE)
            loaded += [beside(run(pods, workers, RATE), alone) for workers in WORKERS]
        nothing = run(PODS[0], 0, 0.0)
        idle = [beside(run(PODS[0], workers, 0.0), nothing) for workers in (1, *WORKERS)]
    return SharingFigures(tuple(loaded), tuple(idle))


def beside(sample: SharingSample, alone: SharingSample) -> SharingSample:
    """Return the sample less the CPU of the same requests on a worker that does not share."""
    return replace(sample, core=sample.core - alone.core, redis_core=sample.redis_core - alone.redis_core)


async def _run(url: str, redis_pid: int, pods: int, workers: int, rate: float) -> SharingSample:
    """Measure one replica of so many; of 0 it does not share."""
    news = asyncio.Event()
    fleet, outbox = a_replica(NAME, pods, news)
    traffic, counts = Traffic(fleet, "forebay", rate, time.monotonic(), random.Random(0)), Counts()
    dated = DatedOutbox(outbox, traffic, counts)
    shared = _sharing(url, fleet, dated, news, counts, workers=workers)
    async with _siblings(url, pods, workers - 1, rate) as start, shared:
        start()
        await _serve(traffic, SETTLE_S)
        counts.reset()
        used, redis_used = time.process_time(), cpu_seconds(redis_pid)
        await _serve(traffic, RUN_S)
        used, redis_used = time.process_time() - used, cpu_seconds(redis_pid) - redis_used
    sent, received = (counts.bytes[direction] / RUN_S for direction in ("sent", "received"))
    return SharingSample(pods, workers, used / RUN_S, redis_used / RUN_S, sent, received, tuple(counts.ages_s))


async def _serve(traffic: Traffic, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end_s:
        traffic.advance(now_s)
        await asyncio.sleep(STEP_S)


@asynccontextmanager
async def _sharing(
    url: str, fleet: Fleet, outbox: DatedOutbox, news: asyncio.Event, counts: Counts, *, workers: int
) -> AsyncIterator[None]:
    """Share for the length of the block, if there are any workers to share with."""
    replicas = Replicas(NAME)
    channels = Channels(RedisSettings(url=url), replicas.name, counts)
    sharing = Sharing(
        replicas, channels, outbox, (fleet,), secret=b"", on_key=lambda _: None, on_place=lambda *_: None, letters={},
        metrics=counts, clock=time.monotonic, interval_s=SharingSettings().interval_s, news=news,
    )  # fmt: skip
    tasks = [asyncio.create_task(job()) for job in ((sharing.tell, sharing.hear) if workers else ())]
    try:
        yield
        assert len(replicas) == max(1, workers)  # noqa: S101 - or the figures would be those of fewer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await channels.aclose()


@asynccontextmanager
async def _siblings(url: str, pods: int, count: int, rate: float) -> AsyncIterator[Callable[[], None]]:
    """Run `count` siblings in a process of their own; calling the value starts them, once all is prepared."""
    if count < 1:
        yield lambda: None
        return
    seconds = SETTLE_S + RUN_S + 1.0
    command = python_module("bench.siblings", url, *map(str, (pods, count, rate, seconds)))
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    orders, reports = process.stdin, process.stdout
    assert orders is not None and reports is not None  # noqa: S101 - pipes
    try:
        await reports.readline()
        yield lambda: orders.write(b"\n")
    finally:
        process.kill()
        await process.wait()
