"""A fleet of simulated engines that comes and goes: started, taken into service, drained and ended as it is told.

An engine that is ordered joins discovery after the start-up time, as a pod would.  One that is not wanted any more
leaves discovery first, ends what it has, and then goes, or sleeps until it is wanted again; the youngest of its kind
goes first.  Envoy knows an engine
from its order to its end, so that it always knows what a gateway may send to.

Lives here: the life of an engine, and the file that tells gateways of them.  Not here: who says how many there should
be (mix, autoscaling), one process (supervision).
"""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import yaml

from autoscaling.sleeping import moves
from forebay.local.eds_file import PrintLine
from forebay.local.engines import MODEL, engine_spec
from forebay.local.ports import Ports
from forebay.local.records import write_atomically
from forebay.local.supervision.process import ProcessSpec
from forebay.local.supervision.supervisor import StartError, Supervisor
from gateway.config.pools import PoolSettings, own_pool
from gateway.config.section import AUTO
from gateway.config.settings import ModelSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.models import describe, pooled
from gateway.discovery.probing.engine_metrics import parse
from gateway.discovery.probing.http_get import AnswerError, post
from gateway.discovery.probing.scraping import HttpFetch, NoPageError
from routing.types import Signal

ENGINE = "vllm"
ANSWER_S = 2.0
"""Time limit of an answer."""
UNNOTICED_S = 1.0
"""Seconds in which gateways may still send to an engine that has left the file (two polls, and time for what is on its
way)."""
DRAIN_S = 3600.0
"""The longest wait for requests in flight: as long as Envoy lets an answer take, so that none is cut."""
DRAIN_LOOK_S = 0.2
SLEEP, WAKE = "/sleep?level=1", "/wake_up"
SLEEP_S = 60.0
"""Time limit of both (chosen: some hundred gigabytes between a GPU and its host)."""
MAX_WORDS = 64 * 1024
_FIRST_PORT = 8000
"""The preferred port of the first engine."""


class EngineKind(Protocol):
    """Engines that are alike, as the replicas of a deployment are."""

    @property
    def gpu(self) -> str:
        """A GPU profile of the simulator, by name or file; an H100's when empty."""

    @property
    def label(self) -> str:
        """The GPU's name, as endpoints have it."""

    @property
    def deployment(self) -> str:
        """The name of the deployment, with which the names of its engines begin."""


@dataclass(eq=False)
class Engine:
    """One engine, from the order to its end."""

    kind: EngineKind
    spec: ProcessSpec
    is_serving: bool = False
    is_asleep: bool = False
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)
    may_sleep: bool = False  # when it is unwanted: else it ends
    called: asyncio.Event = field(default_factory=asyncio.Event)  # it is wanted again, or may sleep no more

    def let_go(self, *, may_sleep: bool) -> None:
        """Want it no more."""
        self.may_sleep = may_sleep
        self.called.clear()
        self.unwanted.set()

    def call(self, *, is_wanted: bool) -> None:
        """Want one that sleeps, or is about to, again; or have it end."""
        self.may_sleep = False
        if is_wanted:
            self.unwanted.clear()
        self.called.set()


class LocalFleet:
    """The engines of all kinds, and DIR/models.yaml, which lists those that serve.

    `role` is the word with which lines for the user begin; an engine serves `startup_s` after its order.  All engines
    are in the first of `pools` that is no API.
    """

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        supervisor: Supervisor,
        print_line: PrintLine,
        *,
        role: str,
        startup_s: float,
        pools: Sequence[PoolSettings] = (),
    ) -> None:
        self.models_file = directory / "models.yaml"
        self._role = role
        self._startup_s = startup_s
        self._pools = pools
        self._directory = directory
        self._ports = ports
        self._supervisor = supervisor
        self._print_line = print_line
        self._engines: list[Engine] = []  # in the order in which they were ordered
        self._serials: dict[str, int] = {}  # the last number of each deployment
        self._tasks: set[asyncio.Task[None]] = set()
        self._written: dict[Path, object] = {}
        self._changed = asyncio.Event()
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

    async def start(self, replicas: Mapping[EngineKind, int]) -> None:
        """Start the first engines, ready at once.  Raises StartError."""
        first = [self._ordered(kind) for kind, number in replicas.items() for _ in range(number)]
        await self._supervisor.start(*(engine.spec for engine in first))
        for engine in first:
            engine.is_serving = True
            self.begin(self._serve(engine), engine.spec.name)
        self.write()

    def wanted(self, kind: EngineKind) -> list[Engine]:
        """Return the engines of a kind that serve or start, in the order in which they were ordered."""
        return [engine for engine in self._engines if engine.kind is kind and not engine.unwanted.is_set()]

    def draining(self, kind: EngineKind) -> int:
        """Return how many engines of a kind end what they have."""
        return sum(
            engine.kind is kind and engine.unwanted.is_set() and not engine.is_asleep for engine in self._engines
        )

    def adjust(self, kind: EngineKind, replicas: int, why: str = "", *, keep_asleep: int = 0) -> None:
        """Wake, order or let go of engines, so that there will be so many; `why` is for the user.

        Of those that are not wanted, `keep_asleep` sleep at most; of the others none does that has never served.
        """
        there = self.wanted(kind)
        resting = [engine for engine in self._engines if engine.kind is kind and engine.may_sleep]
        done = moves(replicas, len(there), len(resting), keep_asleep)
        if replicas != len(there):
            reason = f": {why}" if why else ""
            self.say(f"{kind.deployment}: {len(there)} -> {replicas} replicas{reason}")
        for number, engine in enumerate(resting[: done.wake + done.end_asleep]):
            engine.call(is_wanted=number < done.wake)
        for _ in range(done.start):
            engine = self._ordered(kind)
            self.begin(self._live(engine), engine.spec.name)
        for number, engine in enumerate(there[replicas:]):
            engine.let_go(may_sleep=number < done.sleep and engine.is_serving)
        self.write()

    def say(self, text: str) -> None:
        """Print a line for the user."""
        self._print_line(f"{self._role:<10} {text}")

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something until the end of `running`."""
        task = asyncio.create_task(self._told(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield all engines, those too that start or drain, and APIs, at once and at every change (a Discovery)."""
        while True:
            self._changed.clear()
            fleet = describe(tuple(map(ModelSettings.model_validate, self._models(self._engines))))
            yield pooled(fleet, self._pools) if self._pools else fleet
            await self._changed.wait()

    def behind_s(self) -> Mapping[str, float]:
        """Return nothing: nothing is followed."""
        return {}

    def write(self) -> None:
        """Write the files as the engines are now; one that cannot be written is said, and tried again later."""
        self._changed.set()
        for file, content in self._files().items():
            if content == self._written.get(file):
                continue
            try:
                write_atomically(file, yaml.safe_dump(content, sort_keys=False).encode())
            except OSError as error:
                self.say(f"{file} cannot be written: {error.strerror}")
            else:
                self._written[file] = content

    def _files(self) -> dict[Path, object]:
        """Return the content of each file, as the engines are now."""
        return {self.models_file: self._models(engine for engine in self._engines if engine.is_serving)}

    def _models(self, engines: Iterable[Engine]) -> list[dict[str, Any]]:
        return [{"name": MODEL, "endpoints": [_endpoint(engine, own_pool(self._pools)) for engine in engines]}]

    def _ordered(self, kind: EngineKind) -> Engine:
        self._serials[kind.deployment] = self._serials.get(kind.deployment, 0) + 1
        name = f"{kind.deployment}-{self._serials[kind.deployment]}"
        address = self._ports.take(_FIRST_PORT + len(self._engines))
        engine = Engine(kind, engine_spec(name, address, kind.gpu, self._directory / "logs"))
        self._engines.append(engine)
        return engine

    async def _live(self, engine: Engine) -> None:
        ordered_s = asyncio.get_running_loop().time()
        try:
            await self._supervisor.start(engine.spec)
        except StartError as error:
            self.say(str(error))
            engine.unwanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ordered_s + self._startup_s):
                await engine.unwanted.wait()
        if not engine.unwanted.is_set():
            self.say(f"{engine.spec.name} serves")
            await self._serve(engine)
        else:
            await self._end(engine)

    async def _serve(self, engine: Engine) -> None:
        """Serve as often as the engine is wanted, then end it."""
        is_wanted = True
        while is_wanted:
            engine.is_serving = True
            self.write()
            await engine.unwanted.wait()
            engine.is_serving = False
            self.write()
            await self._drain(engine)
            if engine.may_sleep:
                await self._sleep(engine)
            is_wanted = not engine.unwanted.is_set()
        await self._end(engine)

    async def _drain(self, engine: Engine) -> None:
        """Wait until an engine has ended what it has, or is wanted again."""
        self.say(f"{engine.spec.name} drains")
        await asyncio.sleep(UNNOTICED_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while engine.unwanted.is_set() and await _is_busy(engine.spec.address):  # noqa: ASYNC110 - a process
                    await asyncio.sleep(DRAIN_LOOK_S)

    async def _sleep(self, engine: Engine) -> None:
        """Put an engine to sleep until it is called, and wake it if it is wanted; one that cannot is let go."""
        name, address = engine.spec.name, engine.spec.address
        if refusal := await _refusal(address, SLEEP):
            self.say(f"{name} cannot sleep: {refusal}")
            engine.may_sleep = False
            engine.unwanted.set()
            return
        engine.is_asleep = True
        self.say(f"{name} sleeps")
        await engine.called.wait()
        engine.is_asleep = False
        if not engine.unwanted.is_set():
            if refusal := await _refusal(address, WAKE):
                engine.unwanted.set()
            self.say(f"{name} cannot be woken: {refusal}" if refusal else f"{name} is awake")

    async def _end(self, engine: Engine) -> None:
        await self._supervisor.end(engine.spec)
        self._engines.remove(engine)
        self._ports.let_go(engine.spec.address)
        self.write()
        self.say(f"{engine.spec.name} ended")

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - supervision point
            self.say(f"unexpected, please report it:\n{traceback.format_exc()}")


def _endpoint(engine: Engine, pool: str) -> dict[str, str]:
    spec, kind = engine.spec, engine.kind
    return {
        "address": spec.address, "name": spec.name, "engine": ENGINE, "gpu": kind.label, "deployment": kind.deployment,
        "adapters": AUTO, "pool": pool,
    }  # fmt: skip


async def _refusal(address: str, path: str) -> str:
    """Have an engine do something; return why it did not, empty where it did."""
    try:
        async with asyncio.timeout(SLEEP_S):
            answer = await post(address, path, b"", limit_bytes=MAX_WORDS)
    except (OSError, TimeoutError, AnswerError) as error:
        return str(error) or type(error).__name__
    return "" if answer.status == HTTPStatus.OK else f"status {answer.status}"


async def _is_busy(address: str) -> bool:
    """Return whether an engine has requests; one that does not say may have some."""
    try:
        async with asyncio.timeout(ANSWER_S):
            signals = parse(await HttpFetch("/metrics")(address), ENGINE).signals
    except (OSError, TimeoutError, AnswerError, NoPageError):
        return True
    return signals.get(Signal.RUNNING) != 0 or signals.get(Signal.WAITING) != 0
