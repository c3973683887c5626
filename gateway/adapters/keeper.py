"""Keeps adapters loaded: learns from Redis which are wanted, and, where this replica leads, has engines load them.

An engine that was started again lists no adapters, so they are loaded again; one whose engine is away is loaded
elsewhere.  Each load runs by itself, so that a slow or failing one holds up no other.

Lives here: the looks, retries, what the leader tells.  Not here: where adapters go (placing), records (records).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import structlog

from gateway.adapters.engines import Engines
from gateway.adapters.placing import Pods, Wish
from gateway.adapters.records import Board, Failure, Records, State, Wanted
from gateway.fleet.pod import Pod
from kube.backoff import Backoff
from ratelimit.patience import Patience
from routing.types import Endpoint, PodId
from traffic.connection import RedisAwayError

log = structlog.get_logger("adapters")

LOOK_S = 0.5
"""Seconds between two looks at what is wanted (chosen: as often as engines are asked for their lists)."""
LISTED_S = 5.0
"""Seconds in which an engine is expected to list what it has loaded, or no longer what it has unloaded (chosen)."""
POLL_S = 0.02
RETRIES = Backoff(first_s=5.0, cap_s=300.0)
"""As for ModelAdapters."""


class Keeper:
    """One replica's part.  `pods` returns its fleet; `on_wanted` is called with what is wanted, when that changes."""

    def __init__(
        self,
        replica: str,
        records: Records,
        engines: Engines,
        *,
        pods: Callable[[], Iterable[Pod]],
        on_wanted: Callable[[Mapping[str, str]], None],
        clock: Callable[[], float],
        rng: Random,
    ) -> None:
        self._replica, self._records, self._engines = replica, records, engines
        self._pods, self._on_wanted = pods, on_wanted
        self._clock, self._rng = clock, rng  # Unix seconds, since other replicas read the times
        self._board = Board()
        self._failures: dict[tuple[str, PodId], Failure] = {}
        self._busy: set[tuple[str, PodId]] = set()
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Look at once."""
        self._hurry.set()

    async def run(self) -> None:
        """Look again and again; cancel to stop."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._hurry.clear()
                with suppress(RedisAwayError):
                    await self._look(tasks)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._hurry.wait()

    async def until_listed(self, pods: Iterable[PodId], name: str, *, there: bool = True) -> None:
        """Wait until this replica knows that all these pods list an adapter, or that none does, or LISTED_S."""
        wanted = set(pods)
        with suppress(TimeoutError):
            async with Patience(LISTED_S):
                while True:
                    having = set(Pods(self._pods()).having(name))
                    if not (wanted - having if there else wanted & having):
                        return
                    await asyncio.sleep(POLL_S)

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        before, board = self._board, await self._records.look(self._replica)
        self._board = board
        if before.wanted != board.wanted:
            self._on_wanted({name: one.model for name, one in board.wanted.items()})
        if not board.leads:
            return
        if not before.leads:
            told = [(name, one) for name, state in board.states.items() for one in state.failures]
            self._failures = {(name, one.pod): one for name, one in told}
        await self._lead(board, tasks)

    async def _lead(self, board: Board, tasks: asyncio.TaskGroup) -> None:
        pods, now_s = Pods(self._pods()), self._clock()
        self._failures = {
            (name, pod): failure
            for (name, pod), failure in self._failures.items()
            if pod in pods.listing and name in board.wanted and _is_known(board, name)
        }
        failing = {key for key, failure in self._failures.items() if failure.next_s > now_s}
        wishes = pods.wishes(board.wanted, board.states, failing, self._rng)
        for name, wish in wishes.items():
            for pod in wish.lacking + wish.surplus:
                if (name, pod) not in failing | self._busy:
                    self._busy.add((name, pod))
                    work = self._load if pod in wish.lacking else self._unload
                    endpoint = pods.listing[pod].endpoint
                    tasks.create_task(self._done(work(board.wanted[name], endpoint), name, pod), name=f"{name} {pod}")
        await self._tell(board, wishes)

    async def _done(self, work: Coroutine[Any, Any, None], name: str, pod: PodId) -> None:
        try:
            await work
        finally:
            self._busy.discard((name, pod))
            self.hurry()

    async def _load(self, one: Wanted, endpoint: Endpoint) -> None:
        """Load an adapter on an engine; unload it again where it is not wanted any more by then."""
        key = (one.name, endpoint.id)
        words = await self._engines.load(endpoint, one.name, one.path)
        if words:
            attempts = self._failures[key].attempts + 1 if key in self._failures else 1
            next_s = self._clock() + RETRIES.wait_s(attempts, self._rng)
            self._failures[key] = Failure(endpoint.id, attempts, f"{endpoint.name}: {words}", next_s)
            log.warning("adapter_not_loaded", adapter=one.name, pod=endpoint.name, why=words, attempts=attempts)
            return
        self._failures.pop(key, None)
        log.info("adapter_loaded", adapter=one.name, pod=endpoint.name)
        with suppress(RedisAwayError):
            now = await self._records.wanted(one.name)
            if now is None or now.path != one.path:
                await self._unload(one, endpoint)
                return
        await self.until_listed([endpoint.id], one.name)

    async def _unload(self, one: Wanted, endpoint: Endpoint) -> None:
        """Unload an adapter from an engine; one that refuses is asked again at a later look."""
        await self._engines.unload(endpoint, one.name)
        await self.until_listed([endpoint.id], one.name, there=False)

    async def _tell(self, board: Board, wishes: Mapping[str, Wish]) -> None:
        """Write where adapters should be and what failed, as far as that is another than was read."""
        failures: dict[str, list[Failure]] = {}
        for (name, _), failure in sorted(self._failures.items()):
            failures.setdefault(name, []).append(failure)
        states = {
            name: State(one.id, wishes[name].placed, tuple(failures.get(name, ())))
            for name, one in board.wanted.items()
        }
        changed = {name: state for name, state in states.items() if board.states.get(name) != state}
        gone = board.states.keys() - states.keys()
        if changed or gone:
            await self._records.tell(changed, gone)


def _is_known(board: Board, name: str) -> bool:
    """Whether what is known of an adapter is of the last call that asked for it: a new one is tried at once."""
    return name in board.states and board.states[name].id == board.wanted[name].id
