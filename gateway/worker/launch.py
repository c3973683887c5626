"""How a worker process is started, and how it learns which worker it is: a command line and environment variables.

Lives here: both ends of that hand-over.  Not here: who supervises workers (forebay.local), what runs in one (process).
"""

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.settings import Settings

CONFIG_VARIABLE = "FOREBAY_CONFIG"
INDEX_VARIABLE = "FOREBAY_WORKER"
ADDRESS_VARIABLE = "FOREBAY_WORKER_ADDRESS"
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own name: each worker writes its metrics into this directory, and any of them can sum them up."""


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place among its siblings: its index, its private address, and the directory of their metrics."""

    index: int
    address: str
    metrics_dir: Path | None


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker process; `env` is to be added to the parent's.  SIGTERM drains it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    address: str  # its private gRPC address


def worker_launch(settings: Settings, config_file: Path, index: int, metrics_dir: Path | None = None) -> Launch:
    """Prepare worker `index`; its private address is a free one when the settings name none for it."""
    address = settings.listen.workers[index] if index < len(settings.listen.workers) else f"127.0.0.1:{_free_port()}"
    env = {CONFIG_VARIABLE: str(config_file), INDEX_VARIABLE: str(index), ADDRESS_VARIABLE: address}
    if metrics_dir is not None:
        env[METRICS_VARIABLE] = str(metrics_dir)
    return Launch((sys.executable, "-m", "gateway.worker.process"), env, address)


def read_place(environ: Mapping[str, str]) -> tuple[Path, Place]:
    """Return the configuration file and the place that `worker_launch` wrote down.  Raises KeyError."""
    shared = environ.get(METRICS_VARIABLE)
    place = Place(int(environ[INDEX_VARIABLE]), environ[ADDRESS_VARIABLE], Path(shared) if shared else None)
    return Path(environ[CONFIG_VARIABLE]), place


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
