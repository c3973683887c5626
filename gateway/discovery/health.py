"""Active health checks: asks every engine whether it is there, and says what changed.

Lives here: doing the checks and bounding them.  Not here: when each is due and what a row of failures means (schedule),
what a pod's health is for (gateway.fleet).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random

import httpx
import structlog

from gateway.discovery.schedule import Schedule, Target
from gateway.settings import HealthSettings
from routing.types import Endpoint, PodId

CONCURRENCY = 256  # chosen: so many engines may hang at once, each for `timeout_s`, before the others' checks run late
SERVER_ERROR = 500  # vLLM and SGLang answer 503 when the engine behind the server is dead (vLLM 0.32, recorded)

Probe = Callable[[str], Awaitable[None]]
"""Asks the engine at `ip:port`; whatever it raises is why the engine is not healthy."""

log = structlog.get_logger(__name__)


class UnhealthyError(Exception):
    """The engine answered, and the answer says that it cannot serve."""


class HttpProbe:
    """GET `path`.  Anything below 500 is healthy: an engine without such a path answers 404 and serves all the same.

    A new connection each time: it proves that the engine accepts, and meets no idle connection the engine just closed.
    About 1 ms of CPU per check; at hundreds of engines something leaner should stand behind `Probe`.
    """

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self._client = client
        self._path = path

    async def __call__(self, address: str) -> None:
        """Raise UnhealthyError, or what httpx raises when there is no answer.  The body is not read."""
        async with self._client.stream("GET", f"http://{address}{self._path}") as response:
            if response.status_code >= SERVER_ERROR:
                raise UnhealthyError(f"status {response.status_code}")


def http_client() -> httpx.AsyncClient:
    """Return a client for checks, to be closed by the caller: no idle connections, no proxy from the environment."""
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=0)
    return httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)  # noqa: S113  HealthChecker bounds each check


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
