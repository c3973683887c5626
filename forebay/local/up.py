"""`forebay up`: Redis, Envoy, the gateway and simulated engines on this machine, until Ctrl-C.

Lives here: the order of starting, what is printed and written (docs/contracts.md section 9).  Not here: the processes
(redis, engines, workers, envoy), their addresses (configuration), keeping them running (supervision).
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from forebay.local.autoscaling.scaler import AutoscaledFleet
from forebay.local.configuration import Addresses, Base, write_configuration, write_simulated_models
from forebay.local.data_directory import data_directory
from forebay.local.eds_file import eds_file_kept_current, written_from
from forebay.local.engine_watch import EngineWatch
from forebay.local.engines import Engines, engine_specs
from forebay.local.envoy import envoy_spec
from forebay.local.extras import require_cluster
from forebay.local.mix.fleet import MixFleet
from forebay.local.mix.optimizer import MIX_STRATEGY
from forebay.local.ports import AddressError, Ports
from forebay.local.records import shell_assignments, write_atomically, write_processes
from forebay.local.redis import NoRedisError, redis_spec
from forebay.local.supervision.console import completed_before, print_line, stop_signals
from forebay.local.supervision.process import raise_open_file_limit
from forebay.local.supervision.supervisor import StartError, Supervisor
from forebay.local.try_it import try_it
from forebay.local.web_console import console_spec
from forebay.local.workers import worker_specs
from gateway.config.certificates import gateway_file_problems, rendered_problems
from gateway.config.loading import load, load_with_models
from gateway.config.pools import own_pool
from gateway.config.problems import ConfigurationError
from routing.table import STRATEGIES


def run(
    *, engines: Engines, workers: int, gpu: str, strategy: str, data: Path, base: Path | None = None,
    has_console: bool = False,
) -> None:  # fmt: skip
    """Run until SIGINT or SIGTERM.  Users stay in `data`; `base` is a configuration to start from.

    Raises ConfigurationError for a bad base or models file, an unknown strategy; NoWayError for a cluster without a way
    to it; AddressError and DataError for an address or a directory that cannot be had; and SystemExit(1) when a process
    does not start.
    """
    start = Base.read(base)
    raise_open_file_limit()
    with data_directory(data) as directory, contextlib.closing(Ports()) as ports:
        chosen = engines.or_those_of(start.has_models)
        if chosen == Engines():
            require_cluster(start.settings.kubernetes)
        stack = _Stack(
            directory,
            ports,
            start,
            engines=chosen,
            workers=workers,
            gpu=gpu,
            strategy=strategy,
            has_console=has_console,
        )
        if not asyncio.run(stack.run()):
            raise SystemExit(1)


class _Stack:
    """All processes of one run."""

    def __init__(
        self, directory: Path, ports: Ports, base: Base, *, engines: Engines, workers: int, gpu: str, strategy: str,
        has_console: bool,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._logs = directory / "logs"
        self._ports = ports
        self._gpu = gpu
        self._strategy = strategy or ("" if engines.mix is None or base.has_strategy else MIX_STRATEGY)
        self._base = base
        self._addresses = Addresses.take(
            ports, engines.simulated or 0, workers, base.settings, has_optimizer=engines.mix is not None,
            has_console=has_console,
        )  # fmt: skip
        self._supervisor = Supervisor(print_line, self._write_processes)
        self._urls, pools = engines.urls, base.settings.pools
        self._watch: EngineWatch | None = None
        self._models_file = engines.models_file
        if engines.simulated is not None:
            self._models_file = write_simulated_models(directory, self._addresses.engines, gpu, own_pool(pools))
        if engines.urls:
            self._models_file = directory / "models.yaml"
            self._watch = EngineWatch(engines.urls, self._models_file, print_line, own_pool(pools))
        parts = directory, ports, self._supervisor, print_line
        self._mix = MixFleet(engines.mix, *parts, pools=pools) if engines.mix else None
        self._scaled = AutoscaledFleet(engines.autoscale, *parts, gpu=gpu, pools=pools) if engines.autoscale else None
        self._fleet = self._mix or self._scaled
        if self._fleet:
            self._models_file = self._fleet.models_file
        self._configure()

    def _configure(self) -> None:
        """Write the configuration and read it as the workers will."""
        self._config_file = write_configuration(
            self._directory, self._addresses, self._strategy, self._base, self._models_file
        )
        self._settings = load(self._config_file, os.environ, STRATEGIES)
        if problems := (*gateway_file_problems(self._settings), *rendered_problems(self._settings)):
            raise ConfigurationError(problems)

    async def run(self) -> bool:
        """Run until a stop signal, then stop every process.  Return False when one did not start."""
        stop_requested, kill_requested = stop_signals()
        try:
            async with self._fleet_kept_current():
                if await completed_before(stop_requested, self._start()):
                    await completed_before(stop_requested, self._announce())
                    await completed_before(stop_requested, self._start_console())
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

    @contextlib.asynccontextmanager
    async def _fleet_kept_current(self) -> AsyncIterator[None]:
        """Keep the models file in step with the engines, and Envoy's endpoints with it, in the block."""
        async with (
            self._watch.running() if self._watch else contextlib.nullcontext(),
            self._fleet.running() if self._fleet else contextlib.nullcontext(),
            written_from(self._fleet, Path(self._settings.envoy.eds_file), print_line)
            if self._fleet
            else eds_file_kept_current(self._settings, print_line),
        ):
            yield

    async def _start(self) -> None:
        """Start each process before those that check its health, so that no first check fails and delays requests."""
        await self._start_redis()
        await self._supervisor.start(*engine_specs(self._addresses.engines, self._gpu, self._logs))
        if self._fleet:
            await self._fleet.start_least()
        workers, run_dir = self._addresses.workers, self._directory / "run"
        await self._supervisor.start(*worker_specs(self._settings, self._config_file, workers, run_dir, self._log))
        await self._supervisor.start(envoy_spec(self._settings, self._directory, self._logs))
        if self._mix:
            await self._supervisor.start(self._mix.optimizer_spec(self._addresses))
            self._mix.follow(self._addresses.optimizer)
        if self._scaled:
            self._scaled.follow(f"redis://{self._addresses.redis}/0")

    async def _start_redis(self) -> None:
        """Start Redis, on another port when it loses its own: it cannot listen beside the socket that holds it."""
        while True:
            address = self._addresses.redis
            self._ports.release(address)
            try:
                return await self._supervisor.start(redis_spec(address, self._directory / "redis", self._log("redis")))
            except StartError as error:
                try:
                    self._ports.hold("redis.url", address)
                except AddressError as taken:
                    print_line(f"{taken.message}; Redis gets another port")
                else:
                    raise error from None  # nobody has the port, so it was not the reason
            self._addresses = replace(self._addresses, redis=self._ports.take())
            self._configure()

    async def _start_console(self) -> None:
        """Start it last: nothing waits for it, and it takes as long as all others together."""
        address = self._addresses.console
        if not address:
            return
        urls = self._addresses.shell_variables(self._settings)
        try:
            await self._supervisor.start(console_spec(address, urls, self._settings, self._log("console")))
        except StartError as error:
            print_line(f"{error}; everything else runs without it")

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _write_processes(self) -> None:
        try:
            write_processes(self._directory / "run.json", self._supervisor.running())
        except OSError as error:
            print_line(f"{self._directory / 'run.json'} cannot be written: {error.strerror}")

    async def _announce(self) -> None:
        """Print and write the addresses, and how to send a request once there is a model."""
        variables = self._variables()
        print_line(f"ready\n{self._written(variables)}".rstrip())
        if self._watch and not variables["MODEL"]:
            await self._watch.any_model.wait()
            variables = self._variables()
            self._written(variables)
        if variables["MODEL"]:
            print_line(f"\n{try_it(self._settings, variables, starts_engines=bool(self._scaled))}")

    def _variables(self) -> dict[str, str]:
        """Return the shell variables, as the engines are known now."""
        models = load_with_models(self._config_file, os.environ, STRATEGIES).models
        described = [f"http://{endpoint.address}" for model in models for endpoint in model.endpoints]
        engines = dict.fromkeys(map(str, self._urls) if self._urls else described)
        model = next((model.name for model in models if model.endpoints), models[0].name if models else "")
        addresses = self._addresses.shell_variables(self._settings)
        return addresses | {"ENGINES": " ".join(engines), "MODEL": model}

    def _written(self, variables: dict[str, str]) -> str:
        """Write DIR/env; return its content."""
        lines = shell_assignments(variables)
        write_atomically(self._directory / "env", lines.encode())
        return lines
