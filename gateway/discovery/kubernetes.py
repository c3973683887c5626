"""The fleet that follows a Kubernetes cluster: pods, their nodes, the workloads that own them, and LoRA adapters.

Lives here: which objects are watched, and when a description is due.  Not here: what they mean (pods), lists, watches
and outages (kube).  While the API server is away the last fleet stays.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

from gateway.config.kubernetes import KubernetesSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.pods import ADAPTERS, NODES, PODS, WORKLOADS, Cluster, Fleet
from kube.client import Client, Selection, connection
from kube.following import PACE, behind, by_kind, joined, named, values
from kube.informer import Informer

MANAGER = "forebay-gateway"


class KubernetesPods:
    """The pods with the label of a model, in one namespace or in all."""

    def __init__(self, settings: KubernetesSettings, strategies: Collection[str], rng: Random) -> None:
        self._settings = settings
        self._strategies = strategies
        self._rng = rng
        self._followed: Sequence[Informer[Any]] = ()

    def behind_s(self) -> Mapping[str, float]:
        """Return for how long each set has not been the API server's, by kind."""
        return behind(self._followed)

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the fleet after the first lists, and whenever it is another one.

        Raises NoWayError where it is not known how to reach the API server.
        """
        fleet, space = Fleet(self._strategies), self._settings.namespace
        async with client_for(self._settings) as client:
            pods, workloads = (named(client, kinds, space, self._rng) for kinds in ((PODS,), WORKLOADS))
            nodes = Informer(client, NODES, Selection(), self._rng, PACE)
            adapters = Informer(client, ADAPTERS, Selection(space), self._rng, PACE)
            self._followed = (*pods, *workloads, nodes, adapters)

            def describe() -> FleetDescription:
                loaded = {} if adapters.is_absent else adapters.objects
                return fleet.describe(Cluster(joined(pods), nodes.objects, by_kind(workloads), loaded))

            async with aclosing(values(describe, (*pods, *workloads), (nodes, adapters))) as described:
                async for description in described:
                    yield description


def client_for(settings: KubernetesSettings) -> Client:
    """Return a client of the cluster.  Raises NoWayError where it is not known how to reach it."""
    return Client(connection(Path(settings.kubeconfig) if settings.kubeconfig else None), MANAGER)
