"""`forebay gateway`: the workers of one configuration file, kept alive until told to end.

Lives here: start, signals, drain.  Not here: what a worker does (gateway.worker.worker).
"""

import asyncio
import os
import tempfile
from pathlib import Path

from forebay.local.console import finished, say, stop_signals
from forebay.local.eds_follower import envoy_endpoints
from forebay.local.process import allow_many_files
from forebay.local.supervisor import PartFailedError, Supervisor
from forebay.local.workers import worker_count, worker_parts
from gateway.config.loading import load
from gateway.config.settings import Settings
from routing.table import STRATEGIES


def run(config_file: Path, workers: int) -> None:
    """Serve until SIGTERM or SIGINT; running requests are then finished, up to `drain_s`.

    Raises ConfigurationError for a bad file and SystemExit(1) when a worker does not start.
    """
    settings = load(config_file, os.environ, STRATEGIES)
    allow_many_files()
    with tempfile.TemporaryDirectory(prefix="forebay-") as run_dir:
        served = asyncio.run(_serve(settings, config_file.absolute(), workers, Path(run_dir)))
    if not served:
        raise SystemExit(1)


async def _serve(settings: Settings, config_file: Path, workers: int, run_dir: Path) -> bool:
    """False when a worker did not start."""
    supervisor = Supervisor(say)
    parts = worker_parts(settings, config_file, worker_count(settings, workers), run_dir, lambda _name: None)
    stopping, hurry = stop_signals()
    try:
        async with envoy_endpoints(settings, say):
            if await finished(supervisor.start(*parts), stopping):
                say(f"ready: grpc {settings.listen.grpc}, http {settings.listen.http}, admin {settings.listen.admin}")
                await stopping.wait()
    except PartFailedError as error:
        say(f"forebay gateway could not start: {error}")
        return False
    finally:
        await supervisor.stop(hurry)
    return True
