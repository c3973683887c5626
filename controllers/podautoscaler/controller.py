"""The controller of PodAutoscalers: which of them work, and how often.

Lives here: the sets that are followed, who does what of an autoscaler, and when.  Not here: one decision (scaler), the
objects of strategy HPA (mirror), statuses and events (reporting), how targets are seen (targets, sources).
"""

import asyncio
from collections.abc import Iterator, Sequence, Set
from contextlib import aclosing, suppress
from random import Random
from typing import Any, ClassVar, NamedTuple

from autoscaling.spec import Spec, StrategyName
from controllers.controller import look_at_changes, unfollowed
from controllers.owned import LABELS
from controllers.podautoscaler.conditions import CONFLICT, READY, VALID, Said
from controllers.podautoscaler.hpas import HPAS, Hpa, owner_of
from controllers.podautoscaler.memory import Memory
from controllers.podautoscaler.mirror import Mirror
from controllers.podautoscaler.objects import AUTOSCALERS, PodAutoscaler
from controllers.podautoscaler.observing import Observer
from controllers.podautoscaler.readings import Reading, holders, identity, reading_of
from controllers.podautoscaler.reporting import Reporter
from controllers.podautoscaler.scaler import Scaler, Step, Tools
from controllers.podautoscaler.targets import Targets
from controllers.podautoscaler.waking import Turns
from kube.backoff import Backoff
from kube.client import ALL, Client, Selection
from kube.conditions import is_true
from kube.events import Recorder
from kube.informer import Informer, Pace
from kube.objects import Key
from kube.queue import WorkQueue
from kube.times import Clocks
from traffic.wakes import Wakes

WORKERS = 16
"""Autoscalers that are looked at at a time (chosen): most of a look is waiting for engines."""
PACE = Pace(gather_s=0.1)
RETRIES = Backoff(first_s=0.2, cap_s=10.0)
"""Chosen: 10 s after the API server is back all autoscalers decide again."""
END_S = 3.0
"""How long a leader that ends may take to keep the states of its strategies."""
TELL, TIDY = "problems", "states"
"""The keys of telling problems and of deleting states of autoscalers that are gone, beside those of autoscalers."""
TIDY_S = 600.0
"""How often states of autoscalers that are gone are looked for."""
OURS = ",".join(f"{key}={value}" for key, value in LABELS.items())


class Asked(NamedTuple):
    """The wishes of an autoscaler, and who is obeyed about its target."""

    reading: Reading
    holder: Key

    @property
    def wish(self) -> tuple[Any, ...]:
        """Return what makes it worth another look, if it changes: anything but status and metadata that say nothing."""
        metadata = self.reading.autoscaler.metadata
        return metadata.uid, metadata.generation, self.reading.spec, self.reading.problems, self.holder


class PodAutoscalerController:
    """All PodAutoscalers of a cluster; `namespace` is where the states of their strategies are kept."""

    name: ClassVar[str] = "podautoscaler"

    def __init__(
        self, client: Client, observer: Observer, recorder: Recorder, clocks: Clocks, *, rng: Random, namespace: str,
        wakes: Wakes,
    ) -> None:  # fmt: skip
        self._memory = Memory(client, namespace)
        self._tools = Tools(Targets(client), observer, self._memory, wakes, Turns(), clocks.wall)
        self._autoscalers: Informer[PodAutoscaler] = Informer(client, AUTOSCALERS, ALL, rng, PACE)
        self._hpas: Informer[Hpa] = Informer(client, HPAS, Selection(labels=OURS), rng, PACE)
        self._mirror = Mirror(client, self._hpas, clocks.wall)
        self._reporter = Reporter(client, recorder, clocks)
        self._readings: dict[Key, Reading] = {}
        self._asked: dict[Key, Asked] = {}
        self._scalers: dict[Key, Scaler] = {}
        self.queue = WorkQueue(clocks.monotonic, rng, RETRIES)

    @property
    def followed(self) -> Sequence[Informer[Any]]:
        """The sets that it follows."""
        return self._autoscalers, self._hpas

    def missing(self) -> Iterator[str]:
        """Yield why it cannot work; where its kind is not installed there is nothing to do."""
        return unfollowed([one for one in self.followed if not one.is_absent])

    def states(self) -> dict[str, int]:
        """Return how many autoscalers are ready, and how many are not."""
        ready = sum(is_true(one.status.conditions, READY) for one in self._autoscalers.objects.values())
        return {"ready": ready, "not ready": len(self._autoscalers.objects) - ready}

    async def lead(self) -> None:
        """Look at each autoscaler as often as its strategy asks for; states are kept when that ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(look_at_changes(self._autoscalers, self._look), name="look at autoscalers")
                tasks.create_task(look_at_changes(self._hpas, self._look_at_hpas), name="look at hpas")
                tasks.create_task(self._listen(), name="listen for wakes")
                for _ in range(WORKERS):
                    tasks.create_task(self.queue.work(self._work), name="work")
                self._look()
        finally:
            await self._end()

    async def _listen(self) -> None:
        """Have a target without replicas looked at when requests wait for its model."""
        async with aclosing(self._tools.wakes.listen()) as heard:
            async for model in heard:
                for key, scaler in self._scalers.items():
                    if scaler.sleeps(model):
                        self.queue.add(key)

    async def _end(self) -> None:
        """Keep what strategies remember, and be as before."""
        scalers = [*self._scalers.values()]
        self.queue.clear()
        self._asked.clear()
        for key in [*self._scalers]:
            self._let_go(key)
        self._reporter.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await asyncio.gather(*(one.end() for one in scalers))

    def _look(self) -> None:
        """Have looked at whatever asks for something else than before."""
        if not self._autoscalers.is_known or not self._hpas.is_listed:
            return
        before, self._asked = self._asked, self._all_asked()
        for key in self._asked.keys() | before.keys():
            if key not in self._asked or key not in before or self._asked[key].wish != before[key].wish:
                self.queue.add(key)
        self._reporter.forget_others(self._uids())
        if not before:
            self.queue.add(TIDY)

    def _all_asked(self) -> dict[Key, Asked]:
        """Return what all autoscalers ask for; those that did not change are not read again, those that go are gone."""
        there = {} if self._autoscalers.is_absent else self._autoscalers.objects
        before = self._readings
        self._readings = {
            key: before[key] if key in before and before[key].autoscaler is one else reading_of(one)
            for key, one in there.items()
            if one.metadata.deletion_timestamp is None
        }
        holding = holders(self._readings.values())
        return {
            key: Asked(one, holding[identity(one.spec.target)] if one.spec else "")
            for key, one in self._readings.items()
        }

    def _look_at_hpas(self) -> None:
        self._look()
        for hpa in self._hpas.objects.values():
            if (key := owner_of(hpa)) in self._asked:
                self.queue.add(key)

    async def _work(self, key: Key) -> float | None:
        """Do what is due about one autoscaler; return when to look at it again.  Raises ApiError."""
        if key == TELL:
            return await self._reporter.tell()
        if key == TIDY:
            return await self._tidy()
        asked = self._asked.get(key)
        if asked is None:
            self._let_go(key)
            return None
        step = await self._step(key, asked)
        await self._reporter.report(asked.reading.autoscaler, asked.reading.spec, step)
        self.queue.add(TELL)
        return step.again_s

    async def _step(self, key: Key, asked: Asked) -> Step:
        """Have whoever is responsible for the autoscaler look at it."""
        (autoscaler, spec, problems), holder = asked
        if spec is None:
            self._let_go(key)
            return Step(None, {VALID: Said("False", "InvalidSpec", "; ".join(problems))})
        if holder != key:
            self._let_go(key)
            await self._mirror.remove(autoscaler.metadata)
            why = f"spec.scaleTargetRef: {holder} is older and names the same target, so that this one does nothing"
            return Step(None, {CONFLICT: Said("True", "TargetIsTaken", why)})
        if spec.strategy is StrategyName.HPA:
            self._let_go(key)
            return await self._mirror.step(autoscaler.metadata, spec)
        await self._mirror.remove(autoscaler.metadata)
        return await (await self._scaler(key, autoscaler, spec)).step()

    async def _scaler(self, key: Key, autoscaler: PodAutoscaler, spec: Spec) -> Scaler:
        """Return who decides: the same as before where nothing else is asked for, or one that knows what that knew."""
        before = self._scalers.get(key)
        if before and before.is_of(autoscaler.metadata, spec):
            return before
        if before and before.is_same(autoscaler.metadata):
            await before.end()
        self._let_go(key)
        scaler = self._scalers[key] = Scaler(autoscaler, spec, self._tools)
        return scaler

    def _let_go(self, key: Key) -> None:
        """End the scaler of an autoscaler that is gone or may not scale any more."""
        if scaler := self._scalers.pop(key, None):
            self._tools.observer.forget(scaler.spec.target)
            self._tools.turns.forget(scaler.spec.target)

    async def _tidy(self) -> float:
        await self._memory.forget_others(self._uids())
        return TIDY_S

    def _uids(self) -> Set[str]:
        return {one.autoscaler.metadata.uid for one in self._readings.values()}
