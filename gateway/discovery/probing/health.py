"""Active health checks: ask every engine whether it can serve, and report its health.

Lives here: the check and what is reported and logged of it.  Not here: the HTTP request (http_get), whose turn it is
(rounds), when each engine is due and how many failures in a row count (schedule), what a pod's health is used for
(gateway.fleet.fleet).
"""

from collections.abc import Awaitable, Callable
from random import Random

import structlog

from gateway.config.settings import HealthSettings
from gateway.discovery.probing.http_get import get_status
from gateway.discovery.probing.rounds import Rounds
from gateway.discovery.probing.schedule import Schedule, Target
from routing.types import PodId

SERVER_ERROR = 500
"""vLLM and SGLang answer 503 when the engine behind their HTTP server is dead (recorded from vLLM 0.32)."""

Probe = Callable[[str], Awaitable[None]]
"""Checks the engine at `ip:port`; whatever it raises is why the engine is not healthy."""

log = structlog.get_logger(__name__)


class UnhealthyError(Exception):
    """The engine answered that it cannot serve."""


class HttpProbe:
    """GET `path`.  A status below 500 is healthy: an engine without such a path answers 404 and serves all the same."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __call__(self, address: str) -> None:
        """Raise UnhealthyError for a server error, AnswerError and OSError when there is no answer."""
        status = await get_status(address, self._path)
        if status >= SERVER_ERROR:
            raise UnhealthyError(f"status {status}")


class HealthChecker(Rounds):
    """Checks the endpoints that it was given last, until cancelled.

    `report` (Fleet.set_health) takes a pod's health after each check that decides it and returns whether it changed.
    """

    def __init__(
        self, settings: HealthSettings, probe: Probe, report: Callable[[PodId, bool], bool], rng: Random
    ) -> None:
        super().__init__(Schedule(settings.interval_s, rng, failures=settings.failures), settings.timeout_s, "health")
        self._probe = probe
        self._report = report

    async def ask(self, target: Target) -> None:
        """Check one endpoint."""
        await self._probe(target.address)

    def conclude(self, target: Target, healthy: bool | None, why: str) -> None:
        """Report the endpoint's health; log it when it changed."""
        if healthy is None or not self._report(target.pod, healthy):
            return
        fields = {"pod": target.pod, "address": target.address}
        if healthy:
            log.info("endpoint_healthy", **fields)
        else:
            log.warning("endpoint_unhealthy", why=why, **fields)
