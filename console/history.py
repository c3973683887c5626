"""The last hour of a gateway, as the console shows it.

Lives here: when the gateway is asked, and how long its answers are kept.  Not here: asking (console.looking).
"""

import threading
import time
from collections import deque
from typing import NamedTuple

from console.looking.client import CallError, Client
from console.looking.sample import Sample, take_sample
from console.looking.screen import Screen, screen

KEPT_S = 3600.0
EVERY_S = 10.0
"""Time between two readings while nobody looks (chosen: a reading costs a gateway some 5 ms)."""
FRESH_S = 1.0
"""The least time between two readings, however many look."""


class Moment(NamedTuple):
    """One reading."""

    at: str
    """Time of day, hh:mm:ss."""
    sample: Sample
    screen: Screen


class History:
    """Readings of the gateway whose `listen.http` it is.  Pages of several threads ask it."""

    def __init__(self, gateway: Client) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._moments: deque[Moment] = deque(maxlen=round(KEPT_S / EVERY_S))
        self._latest: Sample | None = None
        self._is_over = threading.Event()
        self.trouble = ""
        """Why the gateway could not be read the last time; empty = it could."""

    def start(self) -> None:
        """Begin reading, until `close`."""
        threading.Thread(target=self._run, name="history", daemon=True).start()

    def close(self) -> None:
        """End reading."""
        self._is_over.set()

    def now(self) -> Screen | None:
        """Return what the gateway says now, FRESH_S ago at most; None = nothing is known yet."""
        self._read(FRESH_S)
        return self._moments[-1].screen if self._moments else None

    def moments(self) -> list[Moment]:
        """Return the readings of the last hour, oldest first; while somebody looks, some are closer together."""
        with self._lock:
            return list(self._moments)

    def _run(self) -> None:
        while not self._is_over.wait(EVERY_S if self._latest else FRESH_S):
            self._read(EVERY_S / 2)

    def _read(self, least_s: float) -> None:
        with self._lock:
            before = self._latest
            if before is not None and time.monotonic() - before.taken_s < least_s:
                return
            try:
                sample = take_sample(self._gateway)
            except CallError as error:
                self.trouble = str(error)
                return
            self.trouble = ""
            self._latest = sample
            if before is None:
                return
            kept = self._moments
            if len(kept) > 1 and sample.taken_s - kept[-2].sample.taken_s < EVERY_S:
                before = kept[-2].sample
                kept.pop()  # between two regular readings only the latest is kept
            kept.append(Moment(time.strftime("%H:%M:%S"), sample, screen(before, sample)))
