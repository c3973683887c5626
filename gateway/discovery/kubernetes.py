"""The fleet that follows a Kubernetes cluster: pods, their nodes and the workloads that own them.

Lives here: which objects are watched, and when a description is due.  Not here: what they mean (pods), lists, watches
and outages (kube).  While the API server is away the last fleet stays.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gateway.config.settings import KubernetesSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.pods import MODEL, NODES, PODS, WORKLOADS, Cluster, Fleet
from kube.client import Client, Selection, connection
from kube.informer import Informer, Pace

MANAGER = "forebay-gateway"
NODES_WAIT_S = 2.0
"""The longest that the first fleet waits for nodes (chosen): they only tell types of GPUs and pools, and an account may
not be allowed to read them."""
PACE = Pace(gather_s=0.1)
"""A storm of events costs ten descriptions per second."""


@dataclass(frozen=True, slots=True)
class _Followed:
    """The sets that make a fleet."""

    pods: Informer[Any]
    nodes: Informer[Any]
    workloads: tuple[Informer[Any], ...]

    def all(self) -> tuple[Informer[Any], ...]:
        return self.pods, self.nodes, *self.workloads

    def cluster(self) -> Cluster:
        workloads = {key: one for informer in self.workloads for key, one in informer.objects.items()}
        return Cluster(self.pods.objects, self.nodes.objects, workloads)


class KubernetesPods:
    """The pods with the label of a model, in one namespace or in all."""

    def __init__(self, settings: KubernetesSettings, strategies: Collection[str], rng: Random) -> None:
        self._settings = settings
        self._strategies = strategies
        self._rng = rng

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the fleet after the first lists, and whenever it is another one.

        Raises ConfigError where it is not known how to reach the API server.
        """
        kubeconfig = Path(self._settings.kubeconfig) if self._settings.kubeconfig else None
        fleet, before = Fleet(self._strategies), None
        async with Client(connection(kubeconfig), MANAGER) as client:
            followed = self._followed(client)
            changed = asyncio.Event()
            listed = {informer: asyncio.Event() for informer in followed.all()}
            tasks = [asyncio.create_task(informer.run(), name="follow") for informer in listed]
            tasks += [asyncio.create_task(_note(*pair, changed), name="note") for pair in listed.items()]
            try:
                await _unless_ended(_all_listed(followed, listed), tasks)
                while True:
                    changed.clear()
                    if (description := fleet.describe(followed.cluster())) != before:
                        before = description
                        yield description
                    await _unless_ended(changed.wait(), tasks)
            finally:
                for task in tasks:
                    task.cancel()

    def _followed(self, client: Client) -> _Followed:
        models = Selection(self._settings.namespace, labels=MODEL)
        workloads = tuple(Informer(client, kind, models, self._rng, PACE) for kind in WORKLOADS)
        nodes = Informer(client, NODES, Selection(), self._rng, PACE)
        return _Followed(Informer(client, PODS, models, self._rng, PACE), nodes, workloads)


async def _note(informer: Informer[Any], first: asyncio.Event, changed: asyncio.Event) -> None:
    """Say when the set was listed first, and when anything in it changed."""
    async for _ in informer.changes():
        first.set()
        changed.set()


async def _all_listed(followed: _Followed, listed: Mapping[Informer[Any], asyncio.Event]) -> None:
    """Wait for all sets, but not long for the nodes."""
    for informer in (followed.pods, *followed.workloads):
        await listed[informer].wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(NODES_WAIT_S):
            await listed[followed.nodes].wait()


async def _unless_ended(work: Coroutine[Any, Any, Any], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for `work`.  Raises what ended one of the tasks, which should never end."""
    waiting = asyncio.create_task(work, name="wait")
    try:
        done, _ = await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in done:
        task.result()
