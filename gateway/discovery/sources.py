"""The choice of discovery by the settings: the one place where a source of endpoints is added.

Lives here: the choice.  Not here: the sources themselves (static), what is made of what they say (gateway.fleet for the
gateway, gateway.envoy.endpoints for Envoy).
"""

import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from gateway.config.loading import load_models
from gateway.config.settings import Settings
from gateway.discovery.description import Discovery, FleetDescription
from gateway.discovery.models import aliased, pooled, steered
from gateway.discovery.static import ModelsFile, OnReload, StaticModels


class Completed:
    """A discovery, and what the configuration says of its fleet; `complete` adds that to a description."""

    def __init__(self, discovery: Discovery, complete: Callable[[FleetDescription], FleetDescription]) -> None:
        self._discovery = discovery
        self._complete = complete

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield what the discovery says, completed."""
        async for description in self._discovery.watch():
            yield self._complete(description)

    def behind_s(self) -> Mapping[str, float]:
        """Return what the discovery says."""
        return self._discovery.behind_s()


def discovery_for(
    settings: Settings, environ: Mapping[str, str], strategies: Collection[str], on_reload: OnReload
) -> Discovery:
    """Return the discovery that every reader of these settings follows, so that gateway and Envoy see one fleet.

    A models file is read with `environ` for its `${NAME}` references and checked against the names in `strategies`;
    `on_reload` is called after each attempt to read it again.
    """
    discovery, picker = _bare(settings, environ, strategies, on_reload), settings.picker
    if picker.objectives or picker.rewrites:
        discovery = Completed(discovery, partial(steered, picker=picker))
    if settings.aliases:
        discovery = Completed(discovery, partial(aliased, aliases=settings.aliases))
    return Completed(discovery, partial(pooled, pools=settings.pools)) if settings.pools else discovery


def _bare(
    settings: Settings, environ: Mapping[str, str], strategies: Collection[str], on_reload: OnReload
) -> Discovery:
    if settings.picker.service:
        from gateway.discovery.pools import InferencePools  # noqa: PLC0415 - its packages are an extra

        rng = random.Random()  # noqa: S311 - jitter
        return InferencePools(settings.kubernetes, settings.picker.service, strategies, rng)
    if settings.kubernetes.enabled:
        from gateway.discovery.kubernetes import KubernetesPods  # noqa: PLC0415 - its packages are an extra

        return KubernetesPods(settings.kubernetes, strategies, random.Random())  # noqa: S311 - jitter
    if not settings.models_file:
        return StaticModels(settings.models)
    load = partial(load_models, environ=environ, strategies=strategies)
    return ModelsFile(Path(settings.models_file), load, on_reload)
