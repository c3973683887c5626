"""The choice of discovery by the settings: the one place where a source of endpoints is added.

Lives here: the choice.  Not here: the sources themselves (static), what is made of what they say (gateway.fleet for the
gateway, gateway.envoy.endpoints for Envoy).
"""

import random
from collections.abc import AsyncIterator, Collection, Mapping
from functools import partial
from pathlib import Path

from gateway.config.loading import load_models
from gateway.config.picker import PickerSettings
from gateway.config.settings import Settings
from gateway.discovery.description import Discovery, FleetDescription
from gateway.discovery.models import steered
from gateway.discovery.static import ModelsFile, OnReload, StaticModels


class Steered:
    """A discovery with the objectives and rewrites of the configuration."""

    def __init__(self, discovery: Discovery, picker: PickerSettings) -> None:
        self._discovery = discovery
        self._picker = picker

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield what the discovery says, completed."""
        async for description in self._discovery.watch():
            yield steered(description, self._picker)

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
    if settings.picker.service:
        from gateway.discovery.pools import InferencePools  # noqa: PLC0415 - its packages are an extra

        rng = random.Random()  # noqa: S311 - jitter
        return InferencePools(settings.kubernetes, settings.picker.service, strategies, rng)
    discovery, picker = _unsteered(settings, environ, strategies, on_reload), settings.picker
    return Steered(discovery, picker) if picker.objectives or picker.rewrites else discovery


def _unsteered(
    settings: Settings, environ: Mapping[str, str], strategies: Collection[str], on_reload: OnReload
) -> Discovery:
    if settings.kubernetes.enabled:
        from gateway.discovery.kubernetes import KubernetesPods  # noqa: PLC0415 - its packages are an extra

        return KubernetesPods(settings.kubernetes, strategies, random.Random())  # noqa: S311 - jitter
    if not settings.models_file:
        return StaticModels(settings.models)
    load = partial(load_models, environ=environ, strategies=strategies)
    return ModelsFile(Path(settings.models_file), load, on_reload)
