"""`forebay up`: Redis, Envoy, the gateway and simulated engines on this machine, until Ctrl-C.

Lives here: the order of starting, what is printed and written (docs/contracts.md section 9).  Not here: the processes
(redis, engines, workers, envoy), their addresses (configuration), keeping them running (supervision).
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from forebay.local.configuration import Addresses, write_configuration
from forebay.local.eds_file import eds_file_kept_current
from forebay.local.engines import engine_specs
from forebay.local.envoy import envoy_spec
from forebay.local.ports import Ports
from forebay.local.records import make_private, shell_assignments, write_atomically, write_processes
from forebay.local.redis import NoRedisError, redis_spec
from forebay.local.supervision.console import completed_before, print_line, stop_signals
from forebay.local.supervision.process import raise_open_file_limit
from forebay.local.supervision.supervisor import StartError, Supervisor
from forebay.local.workers import worker_specs
from gateway.config.loading import load
from gateway.config.settings import Settings
from routing.table import STRATEGIES

_TRY_IT = """
Try it:
  curl {ADMIN}/CreateUser -H 'content-type: application/json' -d '{{"name":"lgy","rpm":3,"tpm":1000}}'
  curl {GATEWAY}/v1/chat/completions -H 'user: lgy' -H 'content-type: application/json' \\
    -d '{{"model":"{MODEL}","messages":[{{"role":"user","content":"Say this is a test!"}}],"temperature":0.7}}'
"""


def run(*, engines: int, workers: int, gpu: str, strategy: str, data: Path, base: Path | None = None) -> None:
    """Run until SIGINT or SIGTERM.  Users stay in `data`; `base` is a configuration to start from.

    Raises ConfigurationError for an unknown strategy and SystemExit(1) when a process does not start or another
    `forebay up` has the same directory.
    """
    directory = data.absolute()
    make_private(directory)
    raise_open_file_limit()
    with _locked(directory), contextlib.closing(Ports()) as ports:
        addresses = Addresses.take(ports, engines, workers)
        config_file = write_configuration(directory, addresses, gpu, strategy, base)
        settings = load(config_file, os.environ, STRATEGIES)
        _remove_old_files(directory)
        if not asyncio.run(_Stack(directory, addresses, settings, config_file, gpu).run()):
            raise SystemExit(1)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory while the block runs; the kernel releases the lock however the process ends."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print_line(f"forebay up already runs with --data {directory}; end it first or choose another directory")
            raise SystemExit(1) from None
        yield


def _remove_old_files(directory: Path) -> None:
    """Remove the files of an earlier run: its addresses are wrong now, and workers need an empty folder."""
    (directory / "env").unlink(missing_ok=True)
    (directory / "run.json").unlink(missing_ok=True)
    for folder in ("run", "logs"):
        shutil.rmtree(directory / folder, ignore_errors=True)
    (directory / "logs").mkdir()


class _Stack:
    """All processes of one run."""

    def __init__(self, directory: Path, addresses: Addresses, settings: Settings, config_file: Path, gpu: str) -> None:
        self._directory = directory
        self._logs = directory / "logs"
        self._addresses = addresses
        self._settings = settings
        self._config_file = config_file
        self._gpu = gpu
        self._supervisor = Supervisor(print_line, self._write_processes)

    async def run(self) -> bool:
        """Run until a stop signal, then stop every process.  Return False when one did not start."""
        stop_requested, kill_requested = stop_signals()
        try:
            async with eds_file_kept_current(self._settings, print_line):
                if await completed_before(stop_requested, self._start()):
                    self._announce()
                    await stop_requested.wait()
                print_line("stopping")
        except (StartError, NoRedisError) as error:
            print_line(f"forebay up could not start: {error}")
            print_line(f"Everything else is stopped. All logs are in {self._logs}")
            return False
        finally:
            await self._supervisor.stop(kill_requested)
            (self._directory / "env").unlink(missing_ok=True)
        return True

    async def _start(self) -> None:
        """Start each process before those that check its health, so that no first check fails and delays requests."""
        redis = redis_spec(self._addresses.redis, self._directory / "redis", self._logs / "redis.log")
        engines = engine_specs(self._addresses.engines, self._gpu, self._logs)
        await self._supervisor.start(redis, *engines)
        count = len(self._addresses.workers)
        run_dir = self._directory / "run"
        await self._supervisor.start(*worker_specs(self._settings, self._config_file, count, run_dir, self._log))
        await self._supervisor.start(envoy_spec(self._settings, self._directory, self._logs))

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _write_processes(self) -> None:
        write_processes(self._directory / "run.json", self._supervisor.running())

    def _announce(self) -> None:
        variables = self._addresses.shell_variables()
        lines = shell_assignments(variables)
        write_atomically(self._directory / "env", lines.encode())
        print_line(f"ready\n{lines}{_TRY_IT.format(**variables)}".rstrip())
