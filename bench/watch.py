"""`python -m bench.watch FILE`: a worker that watches its own event loop, and writes its longest lags when it ends.

Lives here: the instrument.  Not here: the load (tail).

A beat every millisecond measures how long the loop did not get to it: in wall time, and in CPU time of its thread,
which alone the worker is to blame for.  A second thread looks meanwhile what the first one is at.
"""

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import nlargest
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import uvloop

from gateway.config.loading import load
from gateway.observability import logs
from gateway.worker.launch import read_place
from gateway.worker.process import serve
from gateway.worker.worker import Worker
from routing.table import STRATEGIES

BEAT_S = 0.001
LATE_S = 0.002
"""Seconds without a beat after which the other thread looks."""
KEPT_S = 0.003
"""Shorter lags are not kept."""
SETTLE_S = 5.0
"""Seconds from the first beat that are not counted: start-up."""
FRAMES = 6
"""Innermost functions that are named."""
MOST = 20


class Lag(NamedTuple):
    """One lag: CPU of the loop's thread and wall time, in milliseconds, and the functions that ran then."""

    cpu_ms: float
    wall_ms: float
    at_s: float
    what: str


class Watch:
    """Watches the loop that `beat` runs in."""

    def __init__(self) -> None:
        self._beat_s = time.monotonic()
        self._thread = threading.get_ident()
        self._seen: list[str] = []
        self._collected_ms, self._generation = 0.0, 0
        self.lags: list[Lag] = []

    async def beat(self) -> None:
        """Measure each lag, until cancelled."""
        began_s = self._beat_s = time.monotonic()
        cpu_s = time.thread_time()
        while True:
            await asyncio.sleep(BEAT_S)
            now_s, now_cpu_s = time.monotonic(), time.thread_time()
            late_s, used_s = now_s - self._beat_s - BEAT_S, now_cpu_s - cpu_s
            if late_s > KEPT_S and now_s - began_s > SETTLE_S:
                self.lags.append(Lag(used_s * 1000, late_s * 1000, now_s - began_s, self._what()))
            self._seen.clear()
            self._collected_ms = 0.0
            self._beat_s, cpu_s = now_s, now_cpu_s

    def _what(self) -> str:
        garbage = f"garbage of generation {self._generation}, {self._collected_ms:.1f} ms"
        collected = [garbage] if self._collected_ms else []
        return " | ".join([*collected, *dict.fromkeys(self._seen)]) or "-"

    def look(self) -> None:
        """Note what the loop's thread is at while a beat is late, for ever; runs in a thread of its own."""
        while True:
            time.sleep(BEAT_S)
            if time.monotonic() - self._beat_s > LATE_S + BEAT_S:
                self._seen.append(_names(sys._current_frames().get(self._thread)))

    @contextmanager
    def collections(self) -> Iterator[None]:
        """Time the collections of garbage in the block."""
        began_s = 0.0

        def collected(phase: str, info: dict[str, Any]) -> None:
            nonlocal began_s
            if phase == "start":
                began_s = time.monotonic()
            else:
                self._generation = info["generation"]
                self._collected_ms += (time.monotonic() - began_s) * 1000

        gc.callbacks.append(collected)
        try:
            yield
        finally:
            gc.callbacks.remove(collected)


def _names(frame: FrameType | None) -> str:
    names: list[str] = []
    while frame is not None and len(names) < FRAMES:
        names.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(names)


async def watched(worker: Worker, watch: Watch) -> None:
    """Serve as a worker does."""
    threading.Thread(target=watch.look, daemon=True).start()
    beat = asyncio.create_task(watch.beat())
    with watch.collections():
        await serve(worker)
    beat.cancel()


def main(file: Path) -> None:
    """Run the worker that the environment describes."""
    sys.setswitchinterval(BEAT_S / 2)
    config_file, place = read_place(os.environ)
    settings = load(config_file, os.environ, STRATEGIES)
    logs.set_up(settings.log_level)
    watch = Watch()
    uvloop.run(watched(Worker(settings, place), watch))
    file.write_text(json.dumps(nlargest(MOST, watch.lags)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
