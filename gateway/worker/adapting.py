"""A worker's side of adapters that the admin REST was told to load.

Lives here: wiring, and whether there are any.  Not here: keeping them loaded, what may be asked for (gateway.adapters).
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from gateway.adapters.desk import Desk
from gateway.adapters.engines import Engines
from gateway.adapters.keeper import Keeper
from gateway.adapters.records import Records
from gateway.config.settings import Settings
from gateway.discovery.probing import http_get
from gateway.fleet.fleet import Fleet
from traffic.connection import Connection

ENGINE_BYTES = 1024 * 1024
"""The longest answer of an engine about an adapter (chosen)."""


class Adapting:
    """Adapters of the worker `replica`.  `on_wanted` is called with the base models of those that should be loaded."""

    def __init__(
        self,
        settings: Settings,
        replica: str,
        fleet: Fleet,
        on_wanted: Callable[[Mapping[str, str]], None],
        clock: Callable[[], float],
    ) -> None:
        redis = settings.redis
        self._is_kept = not (settings.kubernetes.enabled or settings.picker.service)  # else ModelAdapters are
        self._redis = Connection(redis.url, redis.timeout_s, cluster=redis.cluster)
        records, engines = Records(self._redis), Engines(partial(http_get.post, limit_bytes=ENGINE_BYTES))
        rng = random.Random()  # noqa: S311 - of equals, and jitter
        self.keeper = Keeper(replica, records, engines, pods=fleet.pods, on_wanted=on_wanted, clock=clock, rng=rng)
        self.desk = Desk(records, self.keeper, engines, fleet.pods)

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what runs in the background, by name."""
        return {"kept adapters": self.keeper.run} if self._is_kept else {}

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
