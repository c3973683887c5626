"""Replicas that share through a real Redis, each with a notebook of loads for outbox and inbox."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from gateway.config.settings import RedisSettings
from gateway.observability.metrics import Metrics
from gateway.sharing.channels import Channels
from gateway.sharing.messages import PodLoad, Share
from gateway.sharing.replicas import Replicas
from gateway.sharing.sharing import LetterHandler, Sharing
from tests.support.polling import until


class Notebook:
    """Tells how many requests are in flight on pods, and notes what others tell of theirs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waits = False
        """Whether requests wait, so that changes are urgent."""
        self.own: dict[str, int] = {}
        self.others: dict[str, dict[str, int]] = {}
        self.applied = 0
        self.news = asyncio.Event()
        self._changed: set[str] = set()

    @property
    def has_news(self) -> bool:
        """Whether anything is yet to be told."""
        return bool(self._changed)

    @property
    def is_urgent(self) -> bool:
        return self.waits and self.has_news

    def put(self, pod: str, in_flight: int) -> None:
        self.own[pod] = in_flight
        self._changed.add(pod)
        self.news.set()

    def take(self, now_s: float) -> Share | None:
        changed, self._changed = self._changed, set()
        return self._share(changed) if changed else None

    def everything(self, now_s: float) -> Share:
        return replace(self._share(set(self.own)), everything=True)

    def apply(self, share: Share, now_s: float) -> None:
        self.applied += 1
        if share.everything or share.replica not in self.others:
            self.others[share.replica] = {}
        self.others[share.replica].update({load.pod: load.in_flight for load in share.loads})

    def forget(self, replica: str, now_s: float) -> None:
        del self.others[replica]

    def _share(self, pods: set[str]) -> Share:
        loads = [PodLoad(pod, self.own[pod], 0, 0, 0) for pod in sorted(pods)]
        return Share(self.name, 0, loads=loads)


class Replica:
    """One that shares while its tasks run.  `stop` stops them for a while, as SIGSTOP stops a process."""

    def __init__(
        self, name: str, redis: RedisSettings, interval_s: float = 0.02, clock: Callable[[], float] = time.monotonic,
        **letters: LetterHandler,
    ) -> None:  # fmt: skip
        self.name = name
        self.notes = Notebook(name)
        self.metrics = Metrics(())
        self.channels = Channels(redis, name, self.metrics)
        self.sharing = Sharing(
            Replicas(name),
            self.channels,
            self.notes,
            (self.notes,),
            secret=name.encode(),
            on_key=self._on_key,
            on_place=self._on_place,
            letters=letters,
            metrics=self.metrics,
            clock=clock,
            interval_s=interval_s,
            news=self.notes.news,
        )
        self.place = (0, 1, 0.0)
        self.leaves = False
        """Whether it says at its end that it ends."""

    def _on_key(self, key: int) -> None:
        self.key = key

    def _on_place(self, rank: int, replicas: int, ahead_s: float) -> None:
        self.place = (rank, replicas, ahead_s)

    def knows(self, *names: str) -> bool:
        """Whether these are its siblings, no more and no fewer."""
        return set(names) == self.notes.others.keys() and 1 + len(names) == len(self.sharing.replicas)

    def figure(self, name: str) -> float:
        """A sample of its metrics by printed name and labels."""
        lines = (line.rsplit(" ", 1) for line in self.metrics.render().decode().splitlines() if line[0] != "#")
        return {sample: float(value) for sample, value in lines}[name]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        tasks = [asyncio.create_task(job()) for job in (self.sharing.tell, self.sharing.hear, self.sharing.agree)]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            if self.leaves:
                await self.sharing.leave()
            await self.channels.aclose()
        assert [] == [end for end in ends if not isinstance(end, asyncio.CancelledError)]


async def all_know_each_other(*replicas: Replica) -> None:
    names = {replica.name for replica in replicas}
    await until(lambda: all(replica.knows(*(names - {replica.name})) for replica in replicas))
