"""Wakes the models that are asleep: tells whoever scales them that requests wait for their first pod.

Lives here: when that is told, and which models somebody starts a pod of.  Not here: which requests wait (queue), how it
is told (traffic.wakes).
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from gateway.admission.queue import AdmissionQueue
from traffic.connection import RedisAwayError
from traffic.wakes import REPEAT_S, Wakes

log = structlog.get_logger("wakes")

SETTLE_S = 0.3
"""Seconds by which Envoy may learn later of a first pod (chosen: its endpoints and ours are read from one file, each in
polls of 0.25 s)."""
READ_S = 5.0
"""Seconds between two looks at who is promised a pod (chosen: a promise holds for a minute)."""


class Waking:
    """Wakes what is asleep in `queue`, at once when `asleep` is set; `bases` tells all base models.

    An adapter's pods are those of its base model, which therefore is woken, and promised, in its place.
    """

    def __init__(
        self, queue: AdmissionQueue, asleep: asyncio.Event, wakes: Wakes, bases: Callable[[], Mapping[str, str | None]]
    ) -> None:
        self._queue = queue
        self._asleep = asleep
        self._wakes = wakes
        self._bases = bases
        self._again_s: dict[str, float] = {}  # by model: when it is told again
        self._fails = False

    async def run(self) -> None:
        """Tell of every model that is asleep, once a second as long as it is; cancel to stop."""
        while True:
            self._asleep.clear()
            await self._tell()
            left_s = min(self._again_s.values(), default=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(left_s):
                    await self._asleep.wait()

    async def read(self) -> None:
        """Learn which models somebody starts a pod of, again and again; while Redis is away they stay the same."""
        while True:
            bases = {model: base or model for model, base in self._bases().items()}
            with contextlib.suppress(RedisAwayError):
                promised = await self._wakes.promised(set(bases.values()))
                self._queue.promised = frozenset(model for model, base in bases.items() if base in promised)
            await asyncio.sleep(READ_S)

    async def settle(self) -> None:
        """Give Envoy time to learn what we have learned, if that may be the first pod of requests that wait."""
        if self._queue.asleep():
            await asyncio.sleep(SETTLE_S)

    async def _tell(self) -> None:
        now_s = asyncio.get_running_loop().time()
        bases = self._bases()
        asleep = {bases.get(model) or model for model in self._queue.asleep()}
        self._again_s = {model: self._again_s.get(model, now_s) for model in asleep}
        due = [model for model, again_s in self._again_s.items() if again_s <= now_s]
        self._again_s |= dict.fromkeys(due, now_s + REPEAT_S)
        try:
            for model in due:
                await self._wakes.publish(model)
        except RedisAwayError as error:
            if not self._fails:
                log.warning("wakes_not_told", why=str(error))
            self._fails = True
        else:
            self._fails = self._fails and not due
