"""A set of objects that follows the API server: list once, then watch, again and again.

Lives here: when to list, when to watch, how long to wait after a failure.  Not here: the calls (client), the set
(store), what is done about a change (queue, discovery).  The set is never emptied because the server is away: it stays
as last told, and a watch goes on where the last one ended.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

import structlog

from kube.backoff import Backoff
from kube.client import Client, Selection
from kube.errors import ApiError, Expired, NotFound, Unreachable
from kube.objects import Event, Key, Kind, Object
from kube.store import Store

T = TypeVar("T", bound=Object)

RECONNECT = Backoff(first_s=0.2, cap_s=10.0)
"""Chosen: a server that comes back is noticed within 10 s, and while it is away it is asked 6 to 12 times a minute."""
SHORT_WATCH_S = 1.0
"""A watch that ends sooner without a word is a failure, or it would be repeated without a pause (client-go: 1 s)."""
AT_ONCE_S = 0.001
"""Events that come sooner than this were there already: they are read without a pause (chosen)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How an informer paces itself, in seconds."""

    backoff: Backoff = RECONNECT
    """After failures in a row."""
    resync_s: float = 300.0
    """How often all keys are told although nothing changed, so that no mistake of a reader lasts."""
    gather_s: float = 0.05
    """The least time between two tellings, and the pause after an event that was waited for: a storm costs a reader 20
    rounds per second, and 100 events per second wake the informer 20 times and not 100, which is most of their cost."""


@dataclass(slots=True)
class Counts:
    """The calls of an informer so far, and what came of them."""

    lists: int = 0
    watches: int = 0
    events: int = 0
    failures: int = 0


class Informer(Generic[T]):
    """The objects of a kind that fit a selection and are `wanted`, kept up to date by `run`."""

    def __init__(
        self,
        client: Client,
        kind: Kind[T],
        selection: Selection,
        rng: Random,
        pace: Pace | None = None,
        *,
        wanted: Callable[[T], bool] = lambda _one: True,
    ) -> None:
        self._client = client
        self.kind = kind
        self._selection = selection
        self._rng = rng
        self._pace = pace or Pace()
        self._store = Store[T](wanted)
        self._changed: set[Key] = set()
        self._wake = asyncio.Event()
        self._failures = 0  # in a row
        self.counts = Counts()
        self.is_listed = False  # whether there was a first list, however long ago
        self.failure: ApiError | None = None
        """The error of the last call, because of which the set may be old; None when that went well."""
        self._behind_since_s: float | None = None  # of the loop's clock; None: current, or not started

    @property
    def objects(self) -> Mapping[Key, T]:
        """Return the set as last told, a view that follows; empty until the first list."""
        return self._store.objects

    @property
    def is_current(self) -> bool:
        """Whether the set is what the server has now: it was listed, and the last call went well."""
        return self.is_listed and self.failure is None

    @property
    def is_known(self) -> bool:
        """Whether `objects` may be acted upon: they were listed once, or there can be none."""
        return self.is_listed or self.is_absent

    @property
    def is_absent(self) -> bool:
        """Whether the server has no such kind, as far as it said last."""
        return isinstance(self.failure, NotFound)

    def behind_s(self) -> float:
        """Return for how long the set has not been current, in seconds; 0 when it is."""
        return 0.0 if self._behind_since_s is None else asyncio.get_running_loop().time() - self._behind_since_s

    async def run(self) -> None:
        """Follow the server, for ever."""
        self._behind_since_s = asyncio.get_running_loop().time()
        while True:
            try:
                await self._follow()
            except ApiError as error:
                await self._fail(error)

    async def changes(self) -> AsyncIterator[frozenset[Key]]:
        """Yield the keys of what changed since the last yield, for ever; for one reader.

        The first yield follows the first list, even of nothing, or the word that there is no such kind.  A key names
        what is new, changed or gone: look at `objects`.  Changes while the reader works are told together.
        """
        await self._wake.wait()
        while True:
            keys, self._changed = frozenset(self._changed), set()
            self._wake.clear()
            yield keys
            await asyncio.sleep(self._pace.gather_s)
            try:
                async with asyncio.timeout(self._pace.resync_s):
                    await self._wake.wait()
            except TimeoutError:
                self._changed |= self.objects.keys()

    async def _follow(self) -> None:
        """List unless it is known where to go on, then watch until the server ends the watch, as it does in time."""
        if not self._store.version:
            self.counts.lists += 1
            keys = self._store.replace(*await self._client.list(self.kind, self._selection))
            self.is_listed = True
            self._reached()
            self._tell(keys)
        self.counts.watches += 1
        loop = asyncio.get_running_loop()
        began_s, events_before = loop.time(), self.counts.events
        async with aclosing(self._client.watch(self.kind, self._store.version, self._selection)) as told:
            asked_s = loop.time()
            async for events in told:
                has_waited = loop.time() - asked_s > AT_ONCE_S
                self._reached()
                self._take(events)
                if events and has_waited:
                    await asyncio.sleep(self._pace.gather_s)
                asked_s = loop.time()
        if self.counts.events == events_before and loop.time() - began_s < SHORT_WATCH_S:
            raise Unreachable("the watch ended at once")
        self._failures = 0

    def _take(self, events: Sequence[Event[T]]) -> None:
        if events:
            self._failures = 0
            self.counts.events += len(events)
        if keys := self._store.take(events):
            self._tell(keys)

    def _tell(self, keys: set[Key]) -> None:
        self._changed |= keys
        self._wake.set()

    def _reached(self) -> None:
        if self._behind_since_s is not None:
            log.info("kube_followed", kind=self.kind.name, objects=len(self.objects))
        self._behind_since_s = self.failure = None

    async def _fail(self, error: ApiError) -> None:
        """Wait; but list at once where the version is known no more, unless that goes on and on."""
        self.counts.failures += 1
        self._failures += 1
        if isinstance(error, Expired):
            self._store.version = ""
            if self._failures == 1:
                return
        if self.failure is None:
            say = log.info if isinstance(error, NotFound) and not self.is_listed else log.warning  # usual
            say("kube_not_followed", kind=self.kind.name, why=str(error), objects=len(self.objects))
            self._behind_since_s = self._behind_since_s or asyncio.get_running_loop().time()
        was_absent, self.failure = self.is_absent, error
        if self.is_absent and not was_absent:
            self._wake.set()
        await asyncio.sleep(max(self._pace.backoff.wait_s(self._failures, self._rng), error.retry_after_s))
