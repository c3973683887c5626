"""The gateway's worker processes, as parts.

Lives here: how many, how long each may drain, what is cleaned up behind one that died.  Not here: what a worker does
(gateway.worker.worker), its command line (gateway.worker.launch).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from forebay.local.probes import accepts, answers_ok
from forebay.local.process import Part
from gateway.config.settings import Settings
from gateway.observability.metrics import forget_process
from gateway.worker.launch import Launch, worker_launch

_DRAIN_GRACE_S = 5.0
"""A worker ends within settings.drain_s of SIGTERM; this much later it has hung."""


def worker_count(settings: Settings, asked: int) -> int:
    """One worker per private address; as many as asked for when there are none."""
    return len(settings.listen.workers) or asked


def worker_parts(
    settings: Settings, config_file: Path, count: int, run_dir: Path, log: Callable[[str], Path | None]
) -> list[Part]:
    """One part per worker; `run_dir` is theirs alone and starts empty; `log` names the file for a part's name."""
    metrics = run_dir / "metrics"
    metrics.mkdir(parents=True)
    launches = [worker_launch(settings, config_file, index, metrics) for index in range(count)]
    return [_worker_part(settings, launch, index, metrics, log) for index, launch in enumerate(launches)]


def _worker_part(
    settings: Settings, launch: Launch, index: int, metrics: Path, log: Callable[[str], Path | None]
) -> Part:
    name = f"gateway-{index + 1}"
    return Part(
        "gateway",
        name,
        launch.argv,
        launch.address,
        partial(_ready, settings, launch.address),
        env=launch.env,
        log=log(name),
        ends_first=True,
        stop_s=settings.drain_s + _DRAIN_GRACE_S,  # SIGTERM drains
        on_death=partial(forget_process, shared=metrics),
    )


async def _ready(settings: Settings, own_address: str) -> bool:
    """The shared addresses are served by any worker, its own only by this one."""
    return await accepts(own_address) and await answers_ok(settings.listen.http, "/healthz")
