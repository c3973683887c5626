"""The loop: follow deployments, read what gateways counted, decide, tell gateways.

Traces are read whenever a window is complete.  A model is decided every `Pace.decide_s`, and at once when its rate or
its backlog is more than was planned for, or when its deployments or profiles changed.  Whatever is away, what was
decided last stands: nothing is forgotten, and the next round tries again.

Lives here: the order and the timing.  Not here: decisions (optimizer.planning), what is known (board).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import floor
from typing import NamedTuple

import structlog

from optimizer.planning.allotment import allotments
from optimizer.service.board import Board, Model, by_name
from optimizer.service.history import Moment
from optimizer.service.profile_reader import ProfileReader
from optimizer.service.sources import DeploymentSource
from optimizer.solver.supply import Supply
from traffic.connection import Connection, RedisAwayError
from traffic.hint_store import HintStore
from traffic.store import LATE_S, TraceStore
from traffic.window import WINDOW_S

log = structlog.get_logger("optimizer")

JUMP = 1.25
"""A rate, or a backlog, so many times as high as at the last decision is decided at once."""
LEAST_BACKLOG = 10
"""Requests by which a backlog must grow to be decided at once (chosen: fewer come and go by chance)."""
RETRY_S = 1.0
"""Seconds until a task that failed is started again (chosen)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is done what, in seconds."""

    ingest_s: float = WINDOW_S
    decide_s: float = 30.0


class Stores(NamedTuple):
    """The ways to Redis, over one connection."""

    connection: Connection
    traces: TraceStore
    hints: HintStore


class Clock:
    """Redis's Unix time, carried on by our own clock while Redis is away."""

    def __init__(self, now_s: float, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.set(now_s)

    def set(self, now_s: float) -> None:
        """Take somebody's word for the time."""
        self._offset_s = now_s - self._monotonic()

    def now_s(self) -> float:
        """Return the time."""
        return self._monotonic() + self._offset_s


class Loop:
    """Keeps the board current until it is cancelled."""

    def __init__(
        self,
        board: Board,
        source: DeploymentSource,
        profiles: ProfileReader,
        stores: Stores,
        *,
        clock: Clock,
        pace: Pace,
        supply: Supply,
    ) -> None:
        self._board, self._source, self._profiles, self._stores = board, source, profiles, stores
        self._clock, self._pace, self._supply = clock, pace, supply
        self._allotted: dict[str, int] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_supervised("deployments", self._follow), name="deployments")
            tasks.create_task(_supervised("decisions", self._decide_on), name="decisions")

    async def _follow(self) -> None:
        async for deployments in self._source.watch():
            self._board.put_deployments(deployments)

    async def _decide_on(self) -> None:
        ingest_at_s = 0.0
        while True:
            is_new = any(not model.is_read for model in self._board.models.values())
            if is_new or not 0 < ingest_at_s - self._clock.now_s() <= self._pace.ingest_s:
                await self._ingest()
                ingest_at_s = self._next_ingest_s()
            due = [model for model in self._board.models.values() if self._is_due(model)]
            if due:
                await self._profiles.refresh()
            for model in due:
                await self._decide(model)
            for model in await self._share_out() if due else ():
                await self._decide(model)
            await self._rest(ingest_at_s)

    def _next_ingest_s(self) -> float:
        every_s = self._pace.ingest_s
        return (floor((self._clock.now_s() - LATE_S) / every_s) + 1) * every_s + LATE_S

    async def _rest(self, ingest_at_s: float) -> None:
        """Wait until there is something to do."""
        decide_at_s = (model.decided_at_s + self._pace.decide_s for model in self._board.models.values())
        wait_s = min([ingest_at_s, *decide_at_s]) - self._clock.now_s()
        try:
            async with asyncio.timeout(min(max(0.0, wait_s), self._pace.ingest_s)):
                await self._board.news.wait()
        except TimeoutError:
            pass
        self._board.news.clear()

    async def _ingest(self) -> None:
        """Read the complete windows of all models; one that finds Redis away leaves the rest to the next round."""
        board = self._board
        try:
            self._clock.set(await self._stores.connection.now_s())
            for model in list(board.models.values()):
                for window in await self._stores.traces.read(
                    model.name, model.last.starts_at_s if model.last else None
                ):
                    model.learn(window)
                model.is_read = True
        except RedisAwayError as error:
            if not board.redis_problem:
                log.warning("redis_away", why=str(error), keeping="the last decisions")
            board.redis_problem = str(error)
        else:
            if board.redis_problem:
                log.info("redis_answers")
            board.redis_problem = ""

    def _is_due(self, model: Model) -> bool:
        """Return whether a model is decided now; one decided in the future is too, because clocks may go back."""
        decision, window = model.decision, model.last
        is_recent = 0 <= self._clock.now_s() - model.decided_at_s < self._pace.decide_s
        if model.is_due or decision is None or not is_recent:
            return True
        if window is None or window.starts_at_s + window.duration_s <= model.decided_at_s - LATE_S:
            return False
        rate = window.arrivals / window.duration_s
        backlog = JUMP * model.decided_waiting + LEAST_BACKLOG
        return rate > JUMP * decision.demand.rate or window.waiting > backlog

    async def _share_out(self) -> list[Model]:
        """Allot replicas where the supply is not enough for all models; return those whose allotments changed."""
        board, before = self._board, self._allotted
        cases = {name: model.decision.case for name, model in board.models.items() if model.decision}
        planned = {name: case for name, case in cases.items() if case}
        try:
            self._allotted = await asyncio.to_thread(allotments, planned, board.planned(), self._supply)
        except Exception:
            log.exception("allotments_failed", keeping="the last ones")
        changed = {key for key in {*before, *self._allotted} if before.get(key) != self._allotted.get(key)}
        return [model for model in board.models.values() if any(each.key in changed for each in model.deployments)]

    async def _decide(self, model: Model) -> None:
        """Decide in a thread, because a plan may take seconds; what fails leaves the last decision."""
        board, now_s, started_s = self._board, self._clock.now_s(), time.perf_counter()
        deployments = model.deployments
        overrides = {each.key: board.overrides[each.key] for each in deployments if each.key in board.overrides}
        profiles = board.shelf.of(deployments)
        others = [each for each in board.planned() if each.model != model.name]
        model.is_due, model.decided_at_s = False, now_s
        model.decided_waiting = model.last.waiting if model.last else 0
        try:
            decision = await asyncio.to_thread(
                model.decider.decide, now_s, deployments, profiles, overrides, others=others, allotted=self._allotted
            )
        except Exception as error:
            log.exception("decision_failed", model=model.name, keeping="the last decision")
            model.failure = f"{type(error).__name__}: {error}"
            return
        before = model.decision.replicas if model.decision else None
        model.decision, model.failure, model.took_s = decision, "", time.perf_counter() - started_s
        if decision.replicas != before:
            replicas, rate = by_name(decision.replicas), round(decision.demand.rate, 3)
            log.info("decided", model=model.name, replicas=replicas, rate=rate, held=decision.held)
        published = {each.key: n for each in deployments if (n := board.published(each.key)) is not None}
        model.history.add(Moment(now_s, decision.demand.rate, published, decision.cost, decision.unserved_rate))
        if decision.hint is not None:
            try:
                await self._stores.hints.publish(model.name, decision.hint)
            except RedisAwayError as error:
                board.redis_problem = str(error)
            except ValueError as error:  # too large for gateways; what is decided stands
                log.warning("hint_not_published", model=model.name, why=str(error))
                model.failure = f"the hint is not published: {error}"


async def _supervised(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Start a task again that failed."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("task_failed", task=name)
        await asyncio.sleep(RETRY_S)
