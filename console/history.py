"""The last hour of a gateway, as the console shows it.

Lives here: when the gateway is asked, and how long its answers are kept.  Not here: asking (console.looking).
"""

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from console.looking.client import CallError, Client
from console.looking.sample import Sample, take_sample
from console.looking.screen import Screen, screen

KEPT_S = 3600.0
EVERY_S = 10.0
"""Time between two readings while nobody looks (chosen: a reading costs a gateway some 5 ms)."""
MOST_KEPT = round(KEPT_S / EVERY_S)
FRESH_S = 1.0
"""The least time between two readings, however many look."""


class Moment(NamedTuple):
    """One reading, as sums over all models; rates are per second."""

    at: str
    """Time of day, hh:mm:ss."""
    requests: float
    output: float
    """Tokens of answers."""
    refused: float
    waiting: int


class History:
    """Readings of the gateway whose `listen.http` it is.  Pages of several threads ask it."""

    def __init__(self, gateway: Client) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()  # of the thread that reads
        self._moments: Sequence[Moment] = ()  # replaced as a whole, never modified
        self._shown: Screen | None = None
        self._latest: Sample | None = None
        self._regular: Sample | None = None  # the reading before the last moment
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
        """Return what the gateway said FRESH_S ago at most, or before, if it is slow; None = nothing is known yet."""
        self._read(FRESH_S)
        return self._shown

    def moments(self) -> Sequence[Moment]:
        """Return the readings of the last hour, oldest first; while somebody looks, some are closer together."""
        return self._moments

    def _run(self) -> None:
        while not self._is_over.wait(EVERY_S if self._latest else FRESH_S):
            self._read(EVERY_S / 2)

    def _read(self, least_s: float) -> None:
        """Read the gateway, unless that was just done, or another thread does: a slow gateway holds up one of them."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._latest is None or time.monotonic() - self._latest.taken_s >= least_s:
                self._keep(take_sample(self._gateway))
                self.trouble = ""
        except CallError as error:
            self.trouble = str(error)
        finally:
            self._lock.release()

    def _keep(self, sample: Sample) -> None:
        before, self._latest = self._latest, sample
        if before is None:
            return
        kept = self._moments
        if self._regular is not None and sample.taken_s - self._regular.taken_s < EVERY_S:
            before, kept = self._regular, kept[:-1]  # between two regular readings only the latest is kept
        self._regular = before
        self._shown = screen(before, sample)
        self._moments = (*kept, _moment(self._shown))[-MOST_KEPT:]


def _moment(shown: Screen) -> Moment:
    return Moment(
        time.strftime("%H:%M:%S"),
        round(sum(row.requests_per_s for row in shown.models), 2),
        round(sum(row.output_tokens_per_s for row in shown.models)),
        round(sum(shown.refusals_per_s.values()), 2),
        sum(row.waiting for row in shown.models),
    )
