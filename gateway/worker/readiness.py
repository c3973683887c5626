"""The readiness of a worker and its drain, as health checks, /readyz and /debug/endpoints report them.

Lives here: the reasons, the drain, the endpoints page.  Not here: HTTP (gateway.observability.http), gRPC
(gateway.serving).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from gateway.accounting.ledger import Ledger
from gateway.fleet.fleet import Fleet

LAME_DUCK_S = 1.0
"""Seconds for which new requests are awaited at least after NOT_SERVING: twice the interval of Envoy's health check."""
LAME_DUCK_SHARE = 0.25
"""The largest share of the drain limit for that, so that a short limit is left to running requests (chosen)."""


class Readiness:
    """Whether proxies should send requests to this worker, and why not."""

    def __init__(self, fleet: Fleet, ledger: Ledger, behind_s: Callable[[], Mapping[str, float]] = dict) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._behind_s = behind_s  # of the sets that discovery follows
        self._draining = False

    def __call__(self) -> bool:
        """Return whether this worker is ready."""
        return not self.reasons()

    def reasons(self) -> Sequence[str]:
        """Return why this worker is not ready; empty = it is."""
        no_pod = () if self._fleet.names else ("no pod is known",)  # pods that are gone and still answer do not count
        return self.own_reasons() or no_pod

    def own_reasons(self) -> Sequence[str]:
        """Return why it would not be ready whatever pods there were; a worker answers as soon as it may know them."""
        return ("draining",) if self._draining else ()

    def notes(self) -> Sequence[str]:
        """Return what is wrong although requests are taken: the fleet is that of some time ago."""
        return [
            f"{kind} has not been followed for {seconds:.0f} s: the last fleet stays"
            for kind, seconds in self._behind_s().items()
            if seconds
        ]

    async def drain(self, limit_s: float) -> bool:
        """Stop being ready, then wait until no request runs; return False when some still run after `limit_s`."""
        self._draining = True
        ends_s = asyncio.get_running_loop().time() + limit_s
        await self._no_more_come(min(LAME_DUCK_S, LAME_DUCK_SHARE * limit_s), ends_s)
        return await self._ledger.drain(max(0.0, ends_s - asyncio.get_running_loop().time()))

    async def _no_more_come(self, lame_duck_s: float, ends_s: float) -> None:
        """Wait until proxies have noticed: for `lame_duck_s`, and on while requests still came in its second half."""
        begun = -1
        await asyncio.sleep(lame_duck_s / 2)
        while begun != self._ledger.begun and asyncio.get_running_loop().time() < ends_s:
            begun = self._ledger.begun
            await asyncio.sleep(lame_duck_s / 2)

    def endpoints(self) -> list[dict[str, object]]:
        """Return every pod with its state and its requests in flight, for /debug/endpoints."""
        return [
            {
                "pod": pod.endpoint.id,
                "address": pod.endpoint.address,
                "models": pod.endpoint.models,
                "state": pod.state.value,
                "in_flight": pod.in_flight,
            }
            for pod in self._fleet.pods()
        ]
