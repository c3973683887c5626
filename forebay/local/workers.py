"""The gateway's worker processes.

Lives here: how long each may drain, what is removed after one has exited.  Not here: what a worker does
(gateway.worker.worker), its command line (gateway.worker.launch).
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from forebay.local.supervision.probes import accepts, answers_ok
from forebay.local.supervision.process import ProcessSpec
from gateway.config.settings import Settings
from gateway.observability.metrics import forget_process
from gateway.worker.launch import Launch, worker_launch

_DRAIN_GRACE_S = 5.0
"""Seconds that a worker has beyond `drain_s` to exit after SIGTERM, before it is killed (chosen)."""


def worker_specs(
    settings: Settings, config_file: Path, addresses: Sequence[str], run_dir: Path, log: Callable[[str], Path | None]
) -> list[ProcessSpec]:
    """Describe one worker for each private address.

    `run_dir` is theirs alone and starts empty; `log` maps a worker's name to its log file.
    """
    metrics = run_dir / "metrics"
    metrics.mkdir(parents=True)
    launches = [worker_launch(config_file, index, address, metrics) for index, address in enumerate(addresses)]
    return [_worker_spec(settings, launch, index, metrics, log) for index, launch in enumerate(launches)]


def _worker_spec(
    settings: Settings, launch: Launch, index: int, metrics: Path, log: Callable[[str], Path | None]
) -> ProcessSpec:
    name = f"gateway-{index + 1}"
    return ProcessSpec(
        "gateway",
        name,
        launch.argv,
        launch.address,
        partial(_ready, settings, launch.address),
        env=launch.env,
        log=log(name),
        stops_first=True,
        stop_timeout_s=settings.drain_s + _DRAIN_GRACE_S,  # SIGTERM drains
        on_exit=partial(forget_process, shared=metrics),
    )


async def _ready(settings: Settings, own_address: str) -> bool:
    """Return whether this worker serves its own address and any worker the shared ones.

    Addresses that speak TLS are only connected to: their certificate is for others.
    """
    http = settings.listen.http
    is_served = accepts(http) if "http" in settings.listen.tls.on else answers_ok(http, "/healthz")
    return await is_served and await accepts(own_address)
