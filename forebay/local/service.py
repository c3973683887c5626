"""`forebay gateway`: the workers of one configuration file, supervised until SIGTERM or SIGINT.

Lives here: start, signals, drain.  Not here: what a worker does (gateway.worker.worker).
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from forebay.local.eds_file import eds_file_kept_current
from forebay.local.extras import require_cluster
from forebay.local.ports import Ports
from forebay.local.supervision.console import completed_before, print_line, stop_signals
from forebay.local.supervision.process import ProcessSpec, raise_open_file_limit
from forebay.local.supervision.supervisor import StartError, Supervisor
from forebay.local.workers import worker_specs
from gateway.config.loading import load_with_models
from gateway.config.settings import Settings
from routing.table import STRATEGIES


def run(config_file: Path, workers: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish running requests for up to `drain_s`.

    Raises ConfigurationError for a bad file, MissingExtraError for packages that it needs, NoWayError for a cluster
    without a way to it, AddressError for an address that cannot be had, and SystemExit(1) when a worker does not start.
    """
    settings = load_with_models(config_file, os.environ, STRATEGIES)  # or each worker would say what is wrong there
    require_cluster(settings.kubernetes)
    raise_open_file_limit()
    with contextlib.closing(Ports()) as ports, tempfile.TemporaryDirectory(prefix="forebay-") as run_dir:
        private = _hold_addresses(settings, ports, workers)
        specs = worker_specs(settings, config_file.absolute(), private, Path(run_dir), lambda _name: None)
        if not asyncio.run(_serve(settings, specs)):
            raise SystemExit(1)


def _hold_addresses(settings: Settings, ports: Ports, workers: int) -> list[str]:
    """Hold every address; return those of the workers: the configured ones, or free ones for the requested number."""
    listen = settings.listen
    for name in ("grpc", "http", "admin"):
        ports.hold(f"listen.{name}", getattr(listen, name))
    configured = [ports.hold(f"listen.workers[{index}]", address) for index, address in enumerate(listen.workers)]
    return configured or [ports.take() for _ in range(workers)]


async def _serve(settings: Settings, specs: Sequence[ProcessSpec]) -> bool:
    """Return False when a worker did not start."""
    supervisor = Supervisor(print_line)
    stop_requested, kill_requested = stop_signals()
    try:
        async with eds_file_kept_current(settings, print_line):
            if await completed_before(stop_requested, supervisor.start(*specs)):
                listen = settings.listen
                print_line(f"ready: grpc {listen.grpc}, http {listen.http}, admin {listen.admin}")
                await stop_requested.wait()
    except StartError as error:
        print_line(f"forebay gateway could not start: {error}")
        return False
    finally:
        await supervisor.stop(kill_requested)
    return True
