"""The models that engines list, where nothing else names them: all of a pod of an InferencePool, or only its adapters.

Lives here: what was learned, adapters that are to be loaded, and a description completed by both.  Not here: asking
(probing.model_lists), loading (gateway.adapters).
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway.discovery.description import FleetDescription
from gateway.discovery.probing.model_lists import Listing
from routing.types import Endpoint, PodId


class ModelNames:
    """Completes the latest description.  An endpoint of which no model is known yet is left out."""

    def __init__(self) -> None:
        self._description = FleetDescription()
        self._open: dict[PodId, Endpoint] = {}
        self._learned: dict[PodId, tuple[str, ...]] = {}
        self._wanted: Mapping[str, str] = {}

    def describe(self, description: FleetDescription) -> FleetDescription:
        """Return the description, completed; what was learned of an engine goes with its address or its start."""
        is_open = {one.id: one for one in description.endpoints if not one.models or one.lists_adapters}
        self._learned = {
            pod: models for pod, models in self._learned.items() if _is_same(is_open.get(pod), self._open[pod])
        }
        self._description, self._open = description, is_open
        return self._completed()

    def learn(self, pod: PodId, listing: Listing) -> FleetDescription | None:
        """Return the description with what this endpoint lists, the base model first; None = nothing is new."""
        endpoint = self._open.get(pod)
        if endpoint is None:
            return None
        models = listing.adapters if endpoint.models else tuple(listing.lengths)
        if self._learned.get(pod, ()) == models:
            return None
        self._learned[pod] = models
        return self._completed()

    def want(self, adapters: Mapping[str, str]) -> FleetDescription:
        """Return the description with adapters that are to be loaded, by name their base models; all others go."""
        self._wanted = adapters
        return self._completed()

    def _completed(self) -> FleetDescription:
        """Return the description with all that was learned; adapters have the policy of their base model."""
        described = self._description
        if not self._open and not self._wanted:
            return described
        endpoints = [self._named(endpoint) for endpoint in described.endpoints]
        listed = {name: one.models[0] for one in endpoints if one.lists_adapters for name in one.models}
        adapters = {name: base for name, base in {**listed, **self._wanted}.items() if base in described.models}
        policies = {name: described.models[base].of_adapter() for name, base in adapters.items()}
        return replace(
            described,
            models={**policies, **described.models},
            endpoints=tuple(one for one in endpoints if one.models),
            adapters={**{name: adapters[name] for name in self._wanted if name in adapters}, **described.adapters},
        )

    def _named(self, endpoint: Endpoint) -> Endpoint:
        learned = self._learned.get(endpoint.id, ())
        return replace(endpoint, models=tuple(dict.fromkeys((*endpoint.models, *learned)))) if learned else endpoint


def _is_same(now: Endpoint | None, before: Endpoint) -> bool:
    return now is not None and (now.address, now.started_at) == (before.address, before.started_at)
