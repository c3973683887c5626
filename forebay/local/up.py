"""`forebay up`: Redis, Envoy, the gateway and simulated engines on this machine, until Ctrl-C.

Lives here: the order of starting, what is printed and written (contracts section 9).  Not here: what the parts are
(forebay.local.stack), keeping them alive (forebay.local.supervisor).
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from forebay.local.console import finished, say, stop_signals
from forebay.local.eds_follower import envoy_endpoints
from forebay.local.ports import Ports
from forebay.local.process import allow_many_files
from forebay.local.records import assignments, replace, write_processes
from forebay.local.redis import NoRedisError, redis_part
from forebay.local.stack import Addresses, engine_parts, envoy_part, write_configuration
from forebay.local.supervisor import PartFailedError, Supervisor
from forebay.local.workers import worker_parts
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
    """Run until SIGINT or SIGTERM; users stay in `data`; `base` is a configuration to start from.

    Raises ConfigurationError for an unknown strategy and SystemExit(1) when a part does not start or another
    `forebay up` has the same directory.
    """
    directory = data.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    allow_many_files()
    with _only_one(directory), contextlib.closing(Ports()) as ports:
        addresses = Addresses.take(ports, engines, workers)
        config_file = write_configuration(directory, addresses, gpu, strategy, base)
        settings = load(config_file, os.environ, STRATEGIES)
        _clear_traces(directory)
        if not asyncio.run(_Up(directory, addresses, settings, config_file, gpu).until_stopped()):
            raise SystemExit(1)


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Hold the directory; the lock goes with the process, however it ends."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"forebay up already runs with --data {directory}; end it first or choose another directory")
            raise SystemExit(1) from None
        yield


def _clear_traces(directory: Path) -> None:
    """What an earlier run left: nobody may read old addresses, workers want a fresh folder."""
    (directory / "env").unlink(missing_ok=True)
    (directory / "run.json").unlink(missing_ok=True)
    for folder in ("run", "logs"):
        shutil.rmtree(directory / folder, ignore_errors=True)
    (directory / "logs").mkdir()


class _Up:
    """One run."""

    def __init__(self, directory: Path, addresses: Addresses, settings: Settings, config_file: Path, gpu: str) -> None:
        self._directory = directory
        self._logs = directory / "logs"
        self._addresses = addresses
        self._settings = settings
        self._config_file = config_file
        self._gpu = gpu
        self._supervisor = Supervisor(say, self._record)

    async def until_stopped(self) -> bool:
        """False when a part did not start; nothing runs any more in either case."""
        stopping, hurry = stop_signals()
        try:
            async with envoy_endpoints(self._settings, say):
                if await finished(self._start(), stopping):
                    self._announce()
                    await stopping.wait()
                say("stopping")
        except (PartFailedError, NoRedisError) as error:
            say(f"forebay up could not start: {error}")
            say(f"Everything else is stopped. All logs are in {self._logs}")
            return False
        finally:
            await self._supervisor.stop(hurry)
            (self._directory / "env").unlink(missing_ok=True)
        return True

    async def _start(self) -> None:
        """Each before those that check its health, so that no first check fails and holds the first request back."""
        redis = redis_part(self._addresses.redis, self._directory / "redis", self._logs / "redis.log")
        engines = engine_parts(self._addresses.engines, self._gpu, self._logs)
        await self._supervisor.start(redis, *engines)
        count = len(self._addresses.workers)
        run_dir = self._directory / "run"
        await self._supervisor.start(*worker_parts(self._settings, self._config_file, count, run_dir, self._log))
        await self._supervisor.start(envoy_part(self._settings, self._directory, self._logs))

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _record(self) -> None:
        write_processes(self._directory / "run.json", self._supervisor.running())

    def _announce(self) -> None:
        variables = self._addresses.shell_variables()
        lines = assignments(variables)
        replace(self._directory / "env", lines.encode())
        say(f"ready\n{lines}{_TRY_IT.format(**variables)}".rstrip())
