"""Scraping: ask every engine for its metrics page and report the readings.

Lives here: which page is asked for, and what is reported and logged of it.  Not here: the HTTP request (http_get),
whose turn it is (rounds), reading the page (engine_metrics), what the readings are used for (gateway.fleet.fleet).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from random import Random

import structlog

from gateway.config.settings import ScrapeSettings
from gateway.discovery.probing.engine_metrics import parse
from gateway.discovery.probing.http_get import get
from gateway.discovery.probing.readings import Readings
from gateway.discovery.probing.rounds import Rounds
from gateway.discovery.probing.schedule import Schedule, Target
from routing.types import Endpoint, PodId

DOUBLINGS = 4
"""How often the interval is doubled for an engine that does not answer: up to 16 times as long (chosen)."""
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A longer answer is an error (chosen: a page of vLLM 0.32 has 52 KB)."""
IDLE_STRETCH = 4
"""How many times as rarely idle engines are scraped: with 100 of them a worker took 6 instead of 9 % of a core.  More
would save little, because health checks remain, and show later what requests of others do there (chosen)."""
IDLE_AFTER_S = 5.0
"""Seconds without a request anywhere after which engines are idle (chosen: longer than pauses of a client)."""
LOOK_S = 0.25
"""Seconds between two looks at whether they are (chosen: far below the interval of scrapes)."""
OK = 200

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the page at `ip:port[/path]`; whatever it raises is why there is none."""
Report = Callable[[PodId, Readings, float, float], None]
"""Fleet.apply_readings: takes a pod, its readings, the time they are from, and the time until which they count."""

log = structlog.get_logger(__name__)


class NoPageError(Exception):
    """The engine answered with another status than 200."""


class HttpFetch:
    """GET a page; `path` is used where the page has none of its own."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __call__(self, page: str) -> bytes:
        """Return the body of a 200.  Raises NoPageError for other statuses, AnswerError and OSError."""
        address, slash, path = page.partition("/")
        answer = await get(address, slash + path or self._path, limit_bytes=MAX_PAGE_BYTES)
        if answer.status != OK:
            raise NoPageError(f"status {answer.status}")
        return answer.body


def _always() -> bool:
    return True


class Poller(Rounds):
    """Scrapes the endpoints that it was given last, until cancelled.

    `is_busy` tells whether there are requests on any of them; while there are none they are scraped more rarely.
    """

    look_s = LOOK_S

    def __init__(
        self,
        settings: ScrapeSettings,
        fetch: Fetch,
        report: Report,
        rng: Random,
        is_busy: Callable[[], bool] = _always,
    ) -> None:
        super().__init__(Schedule(settings.interval_s, rng, doublings=DOUBLINGS), settings.timeout_s, "scrape")
        self._interval_s = settings.interval_s
        self._stale_after_s = settings.stale_after_s
        self._is_busy = is_busy
        self._busy_s = self._looked_s = -inf
        self._fresh_s = self._stale_after_s
        self._fetch = fetch
        self._report = report
        self._endpoints: dict[PodId, Endpoint] = {}
        self._silent: set[PodId] = set()

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Scrape exactly these endpoints from now on, new ones at once."""
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._silent &= self._endpoints.keys()
        super().replace(self._endpoints.values())

    def look(self, now_s: float) -> None:
        """Scrape rarely while no endpoint has requests, and as often as set from the next look on when one has."""
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        if self._is_busy() or self._busy_s == -inf:  # at first, since others may have requests there
            self._busy_s = now_s
        stretch = IDLE_STRETCH if now_s - self._busy_s > IDLE_AFTER_S else 1
        self._schedule.stretch(stretch, now_s)
        self._fresh_s = self._stale_after_s + (stretch - 1) * self._interval_s

    async def ask(self, target: Target) -> None:
        """Scrape one endpoint.  The readings are taken to be as old as the request for them."""
        asked_s = asyncio.get_running_loop().time()
        page = await self._fetch(self._endpoints[target.pod].metrics or target.address)
        if target.pod in self._endpoints:  # else it was removed meanwhile
            readings = parse(page, self._endpoints[target.pod].engine)
            self._report(target.pod, readings, asked_s, asked_s + self._fresh_s)

    def conclude(self, target: Target, healthy: bool | None, why: str) -> None:
        """Log when an engine stops answering and when it answers again."""
        if healthy is None or healthy is (target.pod not in self._silent):
            return
        if healthy:
            self._silent.discard(target.pod)
            log.info("metrics_answer", pod=target.pod)
        else:
            self._silent.add(target.pod)
            log.warning("metrics_silent", pod=target.pod, address=target.address, why=why)
