"""Asks engines for their metrics and gives the fleet what they say.

Lives here: the request and what becomes of its answer.  Not here: turns (discovery.rounds), the page (parse), what is
made of it (gateway.fleet.fleet).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random

import structlog

from gateway.config.addresses import split_address
from gateway.config.settings import ScrapeSettings
from gateway.discovery.probing.engine_metrics import parse
from gateway.discovery.probing.readings import Readings
from gateway.discovery.probing.rounds import Rounds
from gateway.discovery.probing.schedule import Schedule, Target
from routing.types import Endpoint, PodId

DOUBLINGS = 4
"""An engine that does not answer is asked up to 16 times as rarely (chosen)."""
MOST_BYTES = 4 * 1024 * 1024
"""No page is longer; a vLLM's is 50 KB."""

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the page at `ip:port[/path]`; whatever it raises is why there is none."""
Report = Callable[[PodId, Readings, float, float], None]
"""Takes a pod's readings, of when they are, and until when they are fresh: Fleet.read."""

log = structlog.get_logger(__name__)


class NoPageError(Exception):
    """The engine answered something else."""


class HttpFetch:
    """GET `path`, unless told another one, as HTTP/1.0: the answer ends with the connection and is never chunked."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __call__(self, page: str) -> bytes:
        """Return the body of a 200.  Raises NoPageError and OSError."""
        address, slash, path = page.partition("/")
        host, port = split_address(address)
        reader, writer = await asyncio.open_connection(host, port, limit=MOST_BYTES)
        try:
            writer.write(f"GET {slash + path or self._path} HTTP/1.0\r\nhost: {address}\r\n\r\n".encode())
            answer = bytearray()
            while piece := await reader.read(MOST_BYTES):
                answer += piece
                if len(answer) > MOST_BYTES:
                    raise NoPageError(f"more than {MOST_BYTES} bytes")
        finally:
            writer.close()
        head, _, body = bytes(answer).partition(b"\r\n\r\n")
        if head.split(None, 2)[1:2] != [b"200"]:
            raise NoPageError(head.partition(b"\r\n")[0].decode(errors="replace")[:80])
        return body


class Poller(Rounds):
    """One round of questions after the other, as often as the settings say."""

    def __init__(self, settings: ScrapeSettings, fetch: Fetch, report: Report, rng: Random) -> None:
        super().__init__(Schedule(settings.interval_s, rng, doublings=DOUBLINGS), settings.timeout_s, "scrape")
        self._stale_after_s = settings.stale_after_s
        self._fetch = fetch
        self._report = report
        self._endpoints: dict[PodId, Endpoint] = {}
        self._silent: set[PodId] = set()

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Ask exactly these from now on; new ones at once."""
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._silent &= self._endpoints.keys()
        super().replace(self._endpoints.values())

    async def ask(self, target: Target) -> None:
        """Scrape one.  The readings are as old as the question."""
        asked_s = asyncio.get_running_loop().time()
        page = await self._fetch(self._endpoints[target.pod].metrics or target.address)
        if target.pod in self._endpoints:
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
