"""CPU of scraping engine metrics: the gateway's own poller on many endpoints with a recorded page.

Lives here: the measurement.  Not here: tables (report).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.backend import PAGE
from bench.serving import served
from gateway.config.settings import ScrapeSettings
from gateway.discovery.probing.scraping import HttpFetch, Poller
from routing.types import Endpoint

ENDPOINTS = 1000
"""Endpoints that are scraped."""
ROUNDS = 2
"""Scrapes of each endpoint that are counted."""


@dataclass(frozen=True, slots=True)
class ScrapeFigures:
    """CPU of the scraping thread: connecting, reading, parsing."""

    page_bytes: int
    scrape_us: float
    interval_s: float

    @property
    def core(self) -> float:
        """Return the share of a core that scraping ENDPOINTS takes."""
        return ENDPOINTS / self.interval_s * self.scrape_us / 1e6


async def measure_scraping(
    progress: Callable[[str], None], endpoints: int = ENDPOINTS, settings: ScrapeSettings | None = None
) -> ScrapeFigures:
    """Measure ROUNDS scrapes of each endpoint, after a first one that is not counted because all are due at once."""
    progress(f"scraping {endpoints} endpoints")
    settings = settings or ScrapeSettings()
    page, scrapes = PAGE.read_bytes(), 0
    first, last = asyncio.Event(), asyncio.Event()

    def report(*_reading: object) -> None:
        nonlocal scrapes
        scrapes += 1
        if scrapes == endpoints:
            first.set()
        elif scrapes == (1 + ROUNDS) * endpoints:
            last.set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + page)
        writer.close()

    with served(answer, backlog=ENDPOINTS) as address:
        poller = Poller(settings, HttpFetch(settings.path), report, Random(1))
        poller.replace(Endpoint(f"p{number}", f"p{number}", address, ("m",)) for number in range(endpoints))
        task = asyncio.create_task(poller.run(), name="scrape")
        await first.wait()
        spent_s = time.thread_time()
        await last.wait()
        spent_s = time.thread_time() - spent_s
        task.cancel()
    return ScrapeFigures(len(page), spent_s / (ROUNDS * endpoints) * 1e6, settings.interval_s)
