"""The engines of `forebay up --autoscale`: as many as a strategy decides, from what is seen of them.

Lives here: when it decides, and that it is done and said.  Not here: what is decided (autoscaling), what is seen
(observing), the life of an engine (forebay.local.fleet).
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscaling.autoscaler import autoscaler
from autoscaling.decision import Decision
from forebay.local.autoscaling.choice import Autoscale
from forebay.local.autoscaling.observing import Observing
from forebay.local.eds_file import PrintLine
from forebay.local.fleet import Engine, LocalFleet
from forebay.local.ports import Ports
from forebay.local.supervision.supervisor import Supervisor
from traffic.connection import Connection
from traffic.store import TraceStore
from traffic.wakes import Wakes

REDIS_S = 2.0
"""Time limit of an answer of Redis."""
SOONEST_S = 0.1
"""Seconds between two decisions at least, whatever a strategy says (chosen)."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """The engines, which are all alike."""

    gpu: str
    label: str
    deployment: str = "engine"


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
    ) -> None:
        self._kind = _Kind(gpu, Path(gpu).stem)
        self._spec = scale.spec
        self._woken = asyncio.Event()
        super().__init__(directory, ports, supervisor, print_line, role="autoscale", startup_s=scale.startup_s)

    async def start_least(self) -> None:
        """Start the least replicas, ready at once.  Raises StartError."""
        await self.start({self._kind: self._spec.least})

    def follow(self, redis_url: str) -> None:
        """Scale from now on, by the traffic and the wakes in Redis too."""
        connection = Connection(redis_url, REDIS_S)
        self.begin(self._scale(connection), "scale")
        self.begin(self._listen(Wakes(connection)), "listen for wakes")

    async def _scale(self, connection: Connection) -> None:
        observing = Observing(self._spec, TraceStore(connection), Wakes(connection))
        strategy, missing = autoscaler(self._spec), ""
        async with contextlib.aclosing(connection):
            while True:
                self._woken.clear()
                seen = await observing.observe(time.time(), self.wanted(self._kind), self.draining(self._kind))
                decision = strategy.decide(seen)
                if seen.ready and bool(decision.missing) != bool(missing):
                    missing = decision.missing
                    self.say(f"{missing}; the engines stay as they are" if missing else "everything is read again")
                self.adjust(self._kind, decision.desired, decision.reason)
                await self._pause(decision)

    async def _pause(self, decision: Decision) -> None:
        """Wait until the next decision is due, or until requests wait and no engine was ordered."""
        left_s = max(SOONEST_S, decision.next_s - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._woken.wait()

    async def _listen(self, wakes: Wakes) -> None:
        async with contextlib.aclosing(wakes.listen()) as heard:
            async for _ in heard:
                if not self.wanted(self._kind):
                    self._woken.set()

    def _models(self, engines: Iterable[Engine]) -> list[dict[str, Any]]:
        return [model | {"scales_from_zero": True} for model in super()._models(engines)]
