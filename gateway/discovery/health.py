"""Active health checks: asks every engine whether it is there, and says what changed.

Lives here: doing the checks and bounding them.  Not here: when each is due and what a row of failures means (schedule),
what a pod's health is for (gateway.fleet).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from random import Random

import structlog

from gateway.addresses import split_address
from gateway.discovery.schedule import Schedule, Target
from gateway.settings import HealthSettings
from routing.types import Endpoint, PodId

CONCURRENCY = 256  # chosen: so many engines may hang at once, each for `timeout_s`, before the others' checks run late
SERVER_ERROR = 500  # vLLM and SGLang answer 503 when the engine behind the server is dead (vLLM 0.32, recorded)

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r)")

Probe = Callable[[str], Awaitable[None]]
"""Asks the engine at `ip:port`; whatever it raises is why the engine is not healthy."""

log = structlog.get_logger(__name__)


class UnhealthyError(Exception):
    """The engine answered, and the answer says that it cannot serve."""


class HttpProbe:
    """GET `path`.  Anything below 500 is healthy: an engine without such a path answers 404 and serves all the same.

    A new connection each time: it proves that the engine accepts, and meets no idle connection the engine just closed.
    Own code, and only the status line is read: an HTTP client library costs 1.3 ms of CPU per check, this a quarter.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    async def __call__(self, address: str) -> None:
        """Raise UnhealthyError, or OSError when there is no answer."""
        host, port = split_address(address)
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {self._path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n".encode())
            status = STATUS_LINE.match(await reader.readline())
        finally:
            writer.close()
        if status is None:
            raise UnhealthyError("no HTTP answer")
        if int(status[1]) >= SERVER_ERROR:
            raise UnhealthyError(f"status {int(status[1])}")


class HealthChecker:
    """Checks the endpoints it was given last, until cancelled.

    `report` takes a pod's health after each check that decides it and returns whether that was news: Fleet.set_health.
    """

    def __init__(
        self, settings: HealthSettings, probe: Probe, report: Callable[[PodId, bool], bool], rng: Random
    ) -> None:
        self._settings = settings
        self._probe = probe
        self._report = report
        self._schedule = Schedule(settings, rng)
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._replaced = asyncio.Event()

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Check exactly these from now on; new ones at once."""
        self._schedule.replace(endpoints, asyncio.get_running_loop().time())
        self._replaced.set()

    async def run(self) -> None:
        """Run forever: one scheduler, and one short task per check."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as checks:
            while True:
                self._replaced.clear()
                for target in self._schedule.due(clock()):
                    await self._slots.acquire()
                    checks.create_task(self._check(target), name=f"health {target.pod}")
                await self._wait(self._schedule.wait_s(clock()))

    async def _wait(self, timeout_s: float | None) -> None:
        """Sleep until something is due or the endpoints are replaced."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._replaced.wait()
        except TimeoutError:
            return

    async def _check(self, target: Target) -> None:
        why = ""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._probe(target.address)
        except Exception as error:  # noqa: BLE001  supervision point: a check that fails in any way says the same of its engine
            why = f"{type(error).__name__} {error}".strip()
        finally:
            self._slots.release()
        self._conclude(target, why)

    def _conclude(self, target: Target, why: str) -> None:
        """Report the engine's health; log it when it changed.  An empty `why` is a success."""
        healthy = self._schedule.checked(target, healthy=not why)
        if healthy is None or not self._report(target.pod, healthy):
            return
        fields = {"pod": target.pod, "address": target.address}
        if healthy:
            log.info("endpoint_healthy", **fields)
        else:
            log.warning("endpoint_unhealthy", why=why, **fields)
