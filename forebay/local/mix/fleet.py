"""The engines of `forebay up --mix`: started, taken into service, drained and ended as the optimizer publishes.

An engine that is ordered joins discovery after the start-up time, as a pod would.  One that is not wanted any more
leaves discovery first, ends what it has, and then goes; the youngest of its type goes first.

Lives here: the life of an engine, and the files that tell others of them.  Not here: asking the optimizer (optimizer),
one process (forebay.local.supervision).
"""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from forebay.local.configuration import Addresses
from forebay.local.eds_file import PrintLine
from forebay.local.engines import MODEL, engine_spec
from forebay.local.mix.gpu_types import GpuType, Mix
from forebay.local.mix.optimizer import NotToldError, optimizer_spec, published_replicas
from forebay.local.ports import Ports
from forebay.local.records import write_atomically
from forebay.local.supervision.process import ProcessSpec
from forebay.local.supervision.supervisor import StartError, Supervisor
from gateway.discovery.probing.engine_metrics import parse
from gateway.discovery.probing.http_get import AnswerError
from gateway.discovery.probing.scraping import HttpFetch, NoPageError
from routing.types import Signal

ENGINE = "vllm"
POLL_S = 0.5
"""Seconds between two questions to the optimizer (chosen: a fraction of its period)."""
ANSWER_S = 2.0
"""Time limit of an answer."""
UNNOTICED_S = 1.0
"""Seconds in which gateways and Envoy may still send to an engine that has left the files (two polls, and time for
what is on its way)."""
DRAIN_S = 30.0
"""The longest wait for requests in flight, as Kubernetes' default grace period."""
DRAIN_LOOK_S = 0.2
_FIRST_PORT = 8000
"""The preferred port of the first engine."""


@dataclass(eq=False)
class _Engine:
    """One engine, from the order to its end."""

    gpu: GpuType
    spec: ProcessSpec
    is_serving: bool = False
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)


class MixFleet:
    """The engines of all types, and DIR/models.yaml and DIR/deployments.yaml, which list them."""

    def __init__(self, mix: Mix, directory: Path, ports: Ports, supervisor: Supervisor, print_line: PrintLine) -> None:
        self.models_file = directory / "models.yaml"
        self.deployments_file = directory / "deployments.yaml"
        self._mix = mix
        self._directory = directory
        self._ports = ports
        self._supervisor = supervisor
        self._print_line = print_line
        self._engines: list[_Engine] = []  # in the order in which they were ordered
        self._serials = dict.fromkeys(mix.gpus, 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._written: dict[Path, bytes] = {}
        self._silence = "it has just been started"
        self.write()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End all that runs here with the block, but not the processes, which the supervisor stops."""
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def start(self) -> None:
        """Start the least replicas of each type, ready at once.  Raises StartError."""
        first = [self._ordered(gpu) for gpu in self._mix.gpus for _ in range(gpu.min_replicas)]
        await self._supervisor.start(*(engine.spec for engine in first))
        for engine in first:
            engine.is_serving = True
            self._begin(self._serve(engine), engine.spec.name)
        self.write()

    def optimizer_spec(self, addresses: Addresses) -> ProcessSpec:
        """Describe the process of the optimizer that plans for this fleet."""
        return optimizer_spec(addresses, self._mix.slo, self.deployments_file, self._directory / "logs")

    def follow(self, optimizer: str) -> None:
        """Do what the optimizer at `host:port` publishes, from now on."""
        self._begin(self._follow(optimizer), "follow the optimizer")

    async def _follow(self, optimizer: str) -> None:
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    wanted = {gpu: await published_replicas(optimizer, gpu) for gpu in self._mix.gpus}
            except (NotToldError, TimeoutError) as error:
                self._say_silence(str(error) or "the optimizer does not answer in time")
            else:
                self._say_silence("")
                for gpu, replicas in wanted.items():
                    self._adjust(gpu, min(replicas, gpu.max_replicas))
            self.write()  # again, should the disk have been full
            await asyncio.sleep(POLL_S)

    def _say_silence(self, why: str) -> None:
        """Say when the optimizer falls silent, and when it is back; meanwhile all engines stay."""
        if bool(why) != bool(self._silence):
            self._print_line(f"mix        {why}; the engines stay as they are" if why else "mix        has a plan")
        self._silence = why

    def _adjust(self, gpu: GpuType, replicas: int) -> None:
        """Order or let go of engines, so that there will be so many."""
        there = [engine for engine in self._engines if engine.gpu is gpu and not engine.unwanted.is_set()]
        if replicas != len(there):
            self._print_line(f"mix        {gpu.deployment}: {len(there)} -> {replicas} replicas")
        for _ in range(len(there), replicas):
            engine = self._ordered(gpu)
            self._begin(self._live(engine), engine.spec.name)
        for engine in there[replicas:]:
            engine.unwanted.set()

    def _ordered(self, gpu: GpuType) -> _Engine:
        self._serials[gpu] += 1
        name = f"{gpu.deployment}-{self._serials[gpu]}"
        address = self._ports.take(_FIRST_PORT + len(self._engines))
        engine = _Engine(gpu, engine_spec(name, address, gpu.gpu, self._directory / "logs"))
        self._engines.append(engine)
        return engine

    async def _live(self, engine: _Engine) -> None:
        ordered_s = asyncio.get_running_loop().time()
        try:
            await self._supervisor.start(engine.spec)
        except StartError as error:
            self._print_line(f"mix        {error}")
            engine.unwanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ordered_s + self._mix.startup_s):
                await engine.unwanted.wait()
        if engine.unwanted.is_set():
            await self._end(engine)
        else:
            engine.is_serving = True
            self._print_line(f"mix        {engine.spec.name} serves")
            await self._serve(engine)

    async def _serve(self, engine: _Engine) -> None:
        self.write()
        await engine.unwanted.wait()
        engine.is_serving = False
        self.write()
        self._print_line(f"mix        {engine.spec.name} drains")
        await asyncio.sleep(UNNOTICED_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while await _is_busy(engine.spec.address):  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(DRAIN_LOOK_S)
        await self._end(engine)

    async def _end(self, engine: _Engine) -> None:
        await self._supervisor.end(engine.spec)
        self._engines.remove(engine)
        self._ports.let_go(engine.spec.address)
        self.write()
        self._print_line(f"mix        {engine.spec.name} ended")

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(self._told(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - supervision point
            self._print_line(f"mix        unexpected, please report it:\n{traceback.format_exc()}")

    def write(self) -> None:
        """Write the files as the engines are now; one that cannot be written is said, and tried again later."""
        serving = [engine for engine in self._engines if engine.is_serving]
        models = [{"name": MODEL, "endpoints": [_endpoint(engine) for engine in serving]}]
        deployments = {"deployments": [self._deployment(gpu) for gpu in self._mix.gpus]}
        for file, content in ((self.models_file, models), (self.deployments_file, deployments)):
            text = yaml.safe_dump(content, sort_keys=False).encode()
            if text == self._written.get(file):
                continue
            try:
                write_atomically(file, text)
            except OSError as error:
                self._print_line(f"mix        {file} cannot be written: {error.strerror}")
            else:
                self._written[file] = text

    def _deployment(self, gpu: GpuType) -> dict[str, Any]:
        there = [engine for engine in self._engines if engine.gpu is gpu and not engine.unwanted.is_set()]
        return {
            "name": gpu.deployment,
            "model": MODEL,
            "replicas": len(there),
            "ready": sum(engine.is_serving for engine in there),
            "min_replicas": gpu.min_replicas,
            "max_replicas": gpu.max_replicas,
            "gpu": gpu.label,
            "cost": gpu.cost,
        }


def _endpoint(engine: _Engine) -> dict[str, str]:
    spec, gpu = engine.spec, engine.gpu
    return {
        "address": spec.address, "name": spec.name, "engine": ENGINE, "gpu": gpu.label, "deployment": gpu.deployment,
    }  # fmt: skip


async def _is_busy(address: str) -> bool:
    """Return whether an engine has requests; one that does not say may have some."""
    try:
        async with asyncio.timeout(ANSWER_S):
            signals = parse(await HttpFetch("/metrics")(address), ENGINE).signals
    except (OSError, TimeoutError, AnswerError, NoPageError):
        return True
    return signals.get(Signal.RUNNING) != 0 or signals.get(Signal.WAITING) != 0
