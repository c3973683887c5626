"""The traces of a worker: what it counted, written for planners at the end of every window.

Lives here: when windows end, and reports that Redis has not taken yet.  Not here: counting (traffic.counts), merging
with other workers' reports (traffic.store).

Windows end by Redis's clock, at all workers at once.  It is asked after each window, and reckoned on meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from gateway.observability.metrics import Metrics
from traffic.connection import RedisAwayError
from traffic.counts import Counts
from traffic.store import TraceStore
from traffic.window import WINDOW_S, Window

log = structlog.get_logger("traffic")

KEPT_WINDOWS = 6
"""Windows that are kept while Redis is away (chosen: a minute later planners have gone on)."""
RETRY_S = 1.0
"""Pause before Redis is tried again, in seconds (chosen: a late report should be in time for planners)."""
EARLY_S = 1.0
"""A clock that is set back by less begins no window anew: it only shows that one has ended early (chosen)."""


class Report(NamedTuple):
    """One model's window, as this worker counted it; see `TraceStore.write`."""

    model: str
    window: Window
    number: int


class Traces:
    """The traces of one worker.  `in_flight` and `queued` tell its requests by model, `clock` is in seconds."""

    def __init__(
        self,
        counts: Counts,
        store: TraceStore,
        in_flight: Callable[[], Mapping[str, int]],
        queued: Callable[[], Mapping[str, int]],
        *,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._counts = counts
        self._store = store
        self._in_flight = in_flight
        self._queued = queued
        self._metrics = metrics
        self._clock = clock
        self._began_s = clock()
        self._ahead_s: float | None = None  # Redis's clock minus ours; None = not known yet
        self._ends_at_s = 0.0  # the end of the window that runs, by Redis's clock
        self._reports: deque[Report] = deque()
        self._number = 0
        self._fails = False

    async def run(self) -> None:
        """Call `turn` when it wants to be called, until cancelled."""
        while True:
            pause_s = await self.turn()
            await asyncio.sleep(pause_s)

    async def turn(self) -> float:
        """Write what is due, and return the seconds until something will be."""
        if self._ahead_s is not None and self._now_s() >= self._ends_at_s:
            self._end_window()
        has_written = await self._write()
        if self._ahead_s is None:
            return RETRY_S
        left_s = max(0.0, self._ends_at_s - self._now_s())
        return left_s if has_written else min(left_s, RETRY_S)

    async def close(self) -> None:
        """Write the rest, if Redis takes it now: the window that runs ends early for this worker."""
        if self._ahead_s is not None:
            self._end_window()
        await self._write()

    def _now_s(self) -> float:
        return self._clock() + (self._ahead_s or 0.0)

    def _end_window(self) -> None:
        starts_at_s = self._ends_at_s - WINDOW_S
        self._number += 1
        windows = self._counts.take(starts_at_s, self._in_flight(), self._queued())
        self._reports.extend([Report(model, window, self._number) for model, window in windows.items()])
        while self._reports and self._reports[0].window.starts_at_s <= starts_at_s - KEPT_WINDOWS * WINDOW_S:
            self._reports.popleft()
            self._metrics.count_traffic_reports("dropped")
        self._ends_at_s = _end_of_window(self._now_s())

    async def _write(self) -> bool:
        """Write what is kept, the oldest first, and ask for the time; return whether Redis took it all."""
        try:
            while self._reports:
                report = self._reports[0]
                await self._store.write(report.model, report.window, report.number)
                self._reports.popleft()
                self._metrics.count_traffic_reports("written")
            self._learn_time(await self._store.now_s())
        except RedisAwayError as error:
            if not self._fails:
                log.warning("traces_not_written", why=str(error))
            self._fails = True
            return False
        self._fails = False
        return True

    def _learn_time(self, now_s: float) -> None:
        """Reckon on from this time.  If the window that runs has ended by it, the next turn ends it."""
        is_first, self._ahead_s = self._ahead_s is None, now_s - self._clock()
        if is_first or now_s < self._ends_at_s - WINDOW_S - EARLY_S:
            self._ends_at_s = _end_of_window(now_s)
        if is_first and self._clock() - self._began_s > WINDOW_S:  # counted in windows of which nobody knows the end
            dropped = self._counts.take(0.0, {}, {})
            self._metrics.count_traffic_reports("dropped", len(dropped))


def _end_of_window(now_s: float) -> float:
    return (now_s // WINDOW_S + 1) * WINDOW_S
