"""The engines of `forebay up --autoscale`: as many as a strategy decides, from what is seen of them.

Lives here: when it decides, and that it is done and said.  Not here: what is decided (autoscaling), what is seen
(observing), the life of an engine (forebay.local.fleet).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autoscaling.autoscaler import autoscaler
from autoscaling.observation import Observation
from forebay.local.autoscaling.choice import Autoscale
from forebay.local.autoscaling.observing import Observing
from forebay.local.eds_file import PrintLine
from forebay.local.engines import MODEL
from forebay.local.fleet import Engine, LocalFleet
from forebay.local.ports import Ports
from forebay.local.supervision.supervisor import Supervisor
from gateway.config.pools import PoolSettings
from traffic.connection import Connection
from traffic.store import TraceStore
from traffic.wakes import Wakes

REDIS_S = 2.0
"""Time limit of an answer of Redis."""
SILENCE_S = 30.0
"""Seconds of missing values after which that is said (chosen: traffic is told every 10 s, later than some look)."""
SOONEST_S = 0.1
"""Seconds between two decisions at least, whatever a strategy says (chosen)."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """The engines, which are all alike."""

    gpu: str
    label: str
    deployment: str = "engine"


class Observes(Protocol):
    """Sees the engines."""

    async def observe(self, now_s: float, wanted: Sequence[Engine], draining: int) -> Observation:
        """Return what is seen at `now_s` of the engines that serve or start."""
        ...


class AutoscaledFleet(LocalFleet):
    """The engines of one model, whose number follows decisions."""

    def __init__(
        self,
        scale: Autoscale,
        directory: Path,
        ports: Ports,
        supervisor: Supervisor,
        print_line: PrintLine,
        *,
        gpu: str,
        pools: Sequence[PoolSettings] = (),
    ) -> None:
        self._kind = _Kind(gpu, Path(gpu).stem)
        self._spec = scale.spec
        self._woken = asyncio.Event()
        super().__init__(
            directory, ports, supervisor, print_line, role="autoscale", startup_s=scale.startup_s, pools=pools
        )

    async def start_least(self) -> None:
        """Start the least replicas, ready at once.  Raises StartError."""
        await self.start({self._kind: self._spec.least})

    def follow(self, redis_url: str) -> None:
        """Scale from now on, by the traffic and the wakes in Redis too."""
        self.begin(self._follow(redis_url), "follow")

    async def _follow(self, redis_url: str) -> None:
        connection = Connection(redis_url, REDIS_S)
        wakes = Wakes(connection)
        observing = Observing(self._spec, TraceStore(connection), wakes)
        async with contextlib.aclosing(connection), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.scale(observing, time.time), name="scale")
            tasks.create_task(self.listen(wakes), name="listen for wakes")

    async def scale(self, observing: Observes, clock: Callable[[], float]) -> None:
        """Decide and obey, for ever; `clock` goes on over restarts, in seconds."""
        strategy, read_s, is_told = autoscaler(self._spec), clock(), False
        while True:
            self._woken.clear()
            seen = await observing.observe(clock(), self.wanted(self._kind), self.draining(self._kind))
            decision = strategy.decide(seen)
            if not (seen.ready and decision.missing):
                read_s, is_told = seen.now_s, False
            elif seen.now_s - read_s > SILENCE_S and not is_told:
                is_told = True
                self.say(f"{decision.missing}; the engines stay as they are")
            self.adjust(self._kind, decision.desired, decision.reason, keep_asleep=self._spec.keep_asleep)
            await self._pause(decision.next_s - clock())

    async def listen(self, wakes: Wakes) -> None:
        """Have it decide at once when requests wait and no engine was ordered, for ever."""
        async with contextlib.aclosing(wakes.listen()) as heard:
            async for model in heard:
                if model == MODEL and not self.wanted(self._kind):
                    self._woken.set()

    async def _pause(self, left_s: float) -> None:
        """Wait until the next decision is due, or is wanted at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(SOONEST_S, left_s)):
                await self._woken.wait()

    def _models(self, engines: Iterable[Engine]) -> list[dict[str, Any]]:
        return [model | {"scales_from_zero": True} for model in super()._models(engines)]
