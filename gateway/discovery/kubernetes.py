"""The fleet that follows a Kubernetes cluster: pods, their nodes, the workloads that own them, and LoRA adapters.

Lives here: which objects are watched, and when a description is due.  Not here: what they mean (pods), lists, watches
and outages (kube).  While the API server is away the last fleet stays.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from gateway.config.settings import KubernetesSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.pods import ADAPTERS, MODEL, NODES, PODS, PORT, WORKLOADS, Cluster, Fleet
from kube.client import Client, Selection, connection
from kube.informer import Informer, Pace
from kube.objects import Key, Kind, Object

T = TypeVar("T", bound=Object)

MANAGER = "forebay-gateway"
OPTIONAL_WAIT_S = 2.0
"""The longest that the first fleet waits for optional sets (chosen): nodes only tell types of GPUs and pools, and an
account may not be allowed to read them."""
BY_ANNOTATION = f"!{MODEL},{PORT}"
"""The objects whose model may be in an annotation, which no selector reads: they name their port and no model."""
PACE = Pace(gather_s=0.1)
"""A storm of events costs ten descriptions per second."""


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

            async with aclosing(descriptions(describe, (*pods, *workloads), (nodes, adapters))) as described:
                async for description in described:
                    yield description


def client_for(settings: KubernetesSettings) -> Client:
    """Return a client of the cluster.  Raises NoWayError where it is not known how to reach it."""
    return Client(connection(Path(settings.kubeconfig) if settings.kubeconfig else None), MANAGER)


def named(client: Client, kinds: Iterable[Kind[Any]], namespace: str, rng: Random) -> Sequence[Informer[Any]]:
    """Return the sets of the objects of these kinds that name a model, in the label or in the annotation."""
    selections = [Selection(namespace, labels) for labels in (MODEL, BY_ANNOTATION)]
    return [Informer(client, kind, some, rng, PACE) for kind in kinds for some in selections]


def joined(informers: Iterable[Informer[T]]) -> dict[Key, T]:
    """Return the objects of sets whose keys differ."""
    return {key: one for informer in informers for key, one in informer.objects.items()}


def by_kind(informers: Iterable[Informer[T]]) -> dict[tuple[str, Key], T]:
    """Return the objects of sets of several kinds, by kind and key."""
    return {(informer.kind.name, key): one for informer in informers for key, one in informer.objects.items()}


def behind(informers: Iterable[Informer[Any]]) -> dict[str, float]:
    """Return for how long each set has not been the API server's, by kind; without kinds that are not installed."""
    longest: dict[str, float] = {}
    for informer in informers:
        if not informer.is_absent:
            longest[informer.kind.name] = max(longest.get(informer.kind.name, 0.0), informer.behind_s())
    return longest


async def descriptions(
    describe: Callable[[], FleetDescription], informers: Sequence[Informer[Any]], optional: Sequence[Informer[Any]]
) -> AsyncGenerator[FleetDescription, None]:
    """Follow the sets, and yield what `describe` makes of them after the first lists, and whenever it differs.

    The `optional` sets are not awaited where their kind is not installed, and not for long where the account may not
    list them.
    """
    before: FleetDescription | None = None
    changed = asyncio.Event()
    listed = {informer: asyncio.Event() for informer in (*informers, *optional)}
    tasks = [asyncio.create_task(informer.run(), name="follow") for informer in listed]
    for informer, first in listed.items():
        note = _note(informer, first, changed, is_optional=informer in optional)
        tasks.append(asyncio.create_task(note, name="note"))
    try:
        required, late = ([listed[one] for one in some] for some in (informers, optional))
        await _unless_ended(_all_listed(required, late), tasks)
        while True:
            changed.clear()
            if (description := describe()) != before:
                before = description
                yield description
            await _unless_ended(changed.wait(), tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _note(informer: Informer[Any], first: asyncio.Event, changed: asyncio.Event, *, is_optional: bool) -> None:
    """Say when the set was listed first, and when anything in it changed; an optional kind may not be installed."""
    async for _ in informer.changes():
        if informer.is_listed or is_optional:
            first.set()
            changed.set()


async def _all_listed(listed: Sequence[asyncio.Event], optional: Sequence[asyncio.Event]) -> None:
    """Wait for all sets, but not long for the optional ones."""
    for event in listed:
        await event.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OPTIONAL_WAIT_S):
            for event in optional:
                await event.wait()


async def _unless_ended(work: Coroutine[Any, Any, Any], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for `work`.  Raises what ended one of the tasks, which should never end."""
    waiting = asyncio.create_task(work, name="wait")
    try:
        done, _ = await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in done:
        task.result()
