"""The gateway's worker processes, as parts.

Lives here: how many, how each is drained, what is cleaned up behind one that died.  Not here: what a worker does
(gateway.app), its command line (gateway.serving.launch).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx

from gateway.local.probes import accepts, answers_ok
from gateway.local.process import Part
from gateway.metrics import forget_process
from gateway.serving.launch import worker_launch
from gateway.settings import Settings

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of prometheus_client: workers write their metrics there, any of them can sum them up."""
_DRAIN_GRACE_S = 5.0
"""A worker answers its drain call within settings.drain_s; this much later it has hung."""


class WorkerCountError(Exception):
    """The number of workers asked for does not fit the configuration."""


def worker_count(settings: Settings, asked: int | None) -> int:
    """As many as asked for, else as private addresses are configured, else one.  Raises WorkerCountError."""
    addresses = len(settings.listen.workers)
    if asked and addresses and asked != addresses:
        raise WorkerCountError(f"--workers = {asked}, must be the number of addresses in listen.workers, {addresses}")
    return asked or addresses or 1


def worker_parts(
    settings: Settings, config_file: Path, count: int, run_dir: Path, log: Callable[[str], Path | None]
) -> list[Part]:
    """One part per worker; `run_dir` is theirs alone and starts empty; `log` names the file for a part's name."""
    metrics = run_dir / "metrics"
    metrics.mkdir(parents=True)
    return [_worker_part(settings, config_file, index, run_dir, metrics, log) for index in range(count)]


def _worker_part(
    settings: Settings, config_file: Path, index: int, run_dir: Path, metrics: Path, log: Callable[[str], Path | None]
) -> Part:
    launch = worker_launch(settings, config_file, index, run_dir)
    private = settings.listen.workers[index : index + 1]
    name = f"gateway-{index}"
    return Part(
        "gateway",
        name,
        launch.argv,
        private[0] if private else settings.listen.grpc,
        partial(_ready, settings, private),
        env={**launch.env, METRICS_FOLDER: str(metrics)},
        log=log(name),
        drain=partial(_drain, launch.drain_url, settings.drain_s) if launch.drain_url else None,
        on_death=partial(forget_process, shared=metrics),
    )


async def _ready(settings: Settings, private: tuple[str, ...]) -> bool:
    """The shared addresses are served by any worker, its own only by this one."""
    own = [await accepts(address) for address in private]
    return all(own) and await answers_ok(settings.listen.http, "/healthz")


async def _drain(url: str, drain_s: float) -> None:
    """Returns when the worker has finished its requests; a worker that cannot say so is ended all the same."""
    async with httpx.AsyncClient(timeout=drain_s + _DRAIN_GRACE_S, trust_env=False) as client:
        try:
            await client.post(url)
        except httpx.HTTPError:
            await asyncio.sleep(0)
