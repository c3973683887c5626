"""The models of endpoints that nothing names, as the pods of an InferencePool may be: those that their engines list.

Lives here: what was learned, and a description completed by it.  Not here: asking (probing.model_lists).
"""

from dataclasses import replace

from gateway.discovery.description import FleetDescription
from routing.types import Endpoint, PodId


class ModelNames:
    """Completes the latest description.  An endpoint of which no model is known yet is left out."""

    def __init__(self) -> None:
        self._description = FleetDescription()
        self._unnamed: dict[PodId, Endpoint] = {}
        self._learned: dict[PodId, tuple[str, ...]] = {}

    def describe(self, description: FleetDescription) -> FleetDescription:
        """Return the description, completed; what was learned of an engine goes with its address or its start."""
        unnamed = {endpoint.id: endpoint for endpoint in description.endpoints if not endpoint.models}
        self._learned = {
            pod: models for pod, models in self._learned.items() if _is_same(unnamed.get(pod), self._unnamed[pod])
        }
        self._description, self._unnamed = description, unnamed
        return self._completed()

    def learn(self, pod: PodId, models: tuple[str, ...]) -> FleetDescription | None:
        """Return the description with these models of an endpoint, the base model first; None = nothing is new."""
        if pod not in self._unnamed or self._learned.get(pod, ()) == models:
            return None
        self._learned[pod] = models
        return self._completed()

    def _completed(self) -> FleetDescription:
        if not self._unnamed:
            return self._description
        named = [
            endpoint if endpoint.models else replace(endpoint, models=self._learned.get(endpoint.id, ()))
            for endpoint in self._description.endpoints
        ]
        return replace(self._description, endpoints=tuple(endpoint for endpoint in named if endpoint.models))


def _is_same(now: Endpoint | None, before: Endpoint) -> bool:
    return now is not None and (now.address, now.started_at) == (before.address, before.started_at)
