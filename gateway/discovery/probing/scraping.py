"""Scraping: ask every engine for its metrics page and report the readings.

Lives here: which page is asked for, and what is reported and logged of it.  Not here: the HTTP request (http_get),
whose turn it is (rounds), reading the page (engine_metrics), what the readings are used for (gateway.fleet.fleet).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
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


class Poller(Rounds):
    """Scrapes the endpoints that it was given last, until cancelled."""

    def __init__(self, settings: ScrapeSettings, fetch: Fetch, report: Report, rng: Random) -> None:
        super().__init__(Schedule(settings.interval_s, rng, doublings=DOUBLINGS), settings.timeout_s, "scrape")
        self._stale_after_s = settings.stale_after_s
        self._fetch = fetch
        self._report = report
        self._endpoints: dict[PodId, Endpoint] = {}
        self._silent: set[PodId] = set()

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Scrape exactly these endpoints from now on, new ones at once."""
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._silent &= self._endpoints.keys()
        super().replace(self._endpoints.values())

    async def ask(self, target: Target) -> None:
        """Scrape one endpoint.  The readings are taken to be as old as the request for them."""
        asked_s = asyncio.get_running_loop().time()
        page = await self._fetch(self._endpoints[target.pod].metrics or target.address)
        if target.pod in self._endpoints:  # else it was removed meanwhile
            readings = parse(page, self._endpoints[target.pod].engine)
            self._report(target.pod, readings, asked_s, asked_s + self._stale_after_s)

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
