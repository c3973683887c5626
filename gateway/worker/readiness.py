"""Whether requests should come here, and how to stop: what health checks and /readyz say.

Lives here: reasons, draining, the endpoints page.  Not here: who asks (http, serving).
"""

import asyncio
from collections.abc import Sequence

from gateway.accounting.ledger import Ledger
from gateway.fleet.fleet import Fleet

LAME_DUCK_S = 1.0
"""After NOT_SERVING is said, requests are still served this long: twice the interval of Envoy's health check."""
LAME_DUCK_SHARE = 0.25
"""At most this share of the time that there is: a short limit is for what runs, not for what may come (chosen)."""


class Readiness:
    """True while this worker should be sent requests."""

    def __init__(self, fleet: Fleet, ledger: Ledger) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._draining = False

    def __call__(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons()

    def reasons(self) -> Sequence[str]:
        """Why not; empty = ready."""
        if self._draining:
            return ("draining",)
        return () if self._fleet.names else ("no pod is known",)  # those that are gone but still answer do not count

    async def drain(self, limit_s: float) -> bool:
        """Stop being ready, then wait until nothing runs; False when `limit_s` was not enough."""
        self._draining = True
        lame_duck_s = min(LAME_DUCK_S, LAME_DUCK_SHARE * limit_s)
        await asyncio.sleep(lame_duck_s)
        return await self._ledger.drain(limit_s - lame_duck_s)

    def endpoints(self) -> list[dict[str, object]]:
        """Every pod with what counts for routing, for /debug/endpoints."""
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
