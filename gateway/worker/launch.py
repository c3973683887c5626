"""The command line and environment of a worker process, which tell it which worker it is.

Lives here: writing and reading them.  Not here: supervising workers (forebay.local), what runs in one (process).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONFIG_VARIABLE = "FOREBAY_CONFIG"
INDEX_VARIABLE = "FOREBAY_WORKER"
ADDRESS_VARIABLE = "FOREBAY_WORKER_ADDRESS"
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own name: the directory into which each worker writes its metrics, and any of them adds up."""

MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""Settings of glibc's allocator, mallopt(3): a worker keeps up to 64 MB that were freed (chosen).  A body of 16 MB is
copied some ten times on its way, and fresh memory for each copy held the loop longer than all that is done with it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place among its siblings: its index, its private address, and the metrics directory of all."""

    index: int
    address: str
    metrics_dir: Path | None


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a worker process; `env` is added to the parent's environment.  SIGTERM drains the process."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    address: str  # its private gRPC address


def worker_launch(config_file: Path, index: int, address: str, metrics_dir: Path | None = None) -> Launch:
    """Prepare worker `index` with its private address."""
    env = {**MALLOC, CONFIG_VARIABLE: str(config_file), INDEX_VARIABLE: str(index), ADDRESS_VARIABLE: address}
    if metrics_dir is not None:
        env[METRICS_VARIABLE] = str(metrics_dir)
    return Launch((sys.executable, "-m", "gateway.worker.process"), env, address)


def read_place(environ: Mapping[str, str]) -> tuple[Path, Place]:
    """Return the configuration file and the place that `worker_launch` put into the environment.  Raises KeyError."""
    metrics_dir = environ.get(METRICS_VARIABLE)
    place = Place(int(environ[INDEX_VARIABLE]), environ[ADDRESS_VARIABLE], Path(metrics_dir) if metrics_dir else None)
    return Path(environ[CONFIG_VARIABLE]), place
