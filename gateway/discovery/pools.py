"""The fleet of InferencePools that name this gateway as their endpoint picker, with their objectives and rewrites.

Lives here: the kinds of Gateway API Inference Extension, and what is read of them.  Not here: what pods mean (pods),
following sets (kube.following).  A kind that is not installed yet is looked for again and again, so that no restart is
needed when it comes.  We write nothing: the status of these objects is for others.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import structlog

from gateway.config.kubernetes import KubernetesSettings
from gateway.discovery.description import FleetDescription
from gateway.discovery.kubernetes import client_for
from gateway.discovery.pods import NODES, PODS, WORKLOADS, Cluster, Fleet, Pool
from gateway.openai.rewrites import Rewrite, Target
from kube.client import Selection
from kube.following import PACE, behind, by_kind, named, values
from kube.informer import Informer
from kube.objects import Kind, Object

log = structlog.get_logger(__name__)
GROUP, ALPHA_GROUP = "inference.networking.k8s.io", "inference.networking.x-k8s.io"


class Selector(msgspec.Struct, frozen=True, rename="camel"):
    """The labels of a pool's pods."""

    match_labels: dict[str, str] = {}


class Port(msgspec.Struct, frozen=True):
    """A port of every pod of the pool."""

    number: int


class PickerReference(msgspec.Struct, frozen=True):
    """The Service that picks endpoints, in the namespace of the pool."""

    name: str = ""
    group: str = ""
    kind: str = "Service"


class PoolSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The pods of a pool, and its picker."""

    selector: Selector = Selector()
    target_ports: tuple[Port, ...] = ()
    endpoint_picker_ref: PickerReference = PickerReference()


class InferencePool(Object, frozen=True):
    """A pool of pods that serve models."""

    spec: PoolSpec = PoolSpec()


class PoolReference(msgspec.Struct, frozen=True):
    """The pool that an object is about, in its own namespace."""

    name: str
    group: str = GROUP
    kind: str = "InferencePool"


class ObjectiveSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The priority of requests with the objective."""

    pool_ref: PoolReference
    priority: int | None = None


class InferenceObjective(Object, frozen=True, kw_only=True):
    """An objective that requests name."""

    spec: ObjectiveSpec


class ModelMatch(msgspec.Struct, frozen=True):
    """A model that clients name."""

    value: str = ""


class Match(msgspec.Struct, frozen=True):
    """A condition of a rule; others than that for a model do not exist."""

    model: ModelMatch = ModelMatch()


class TargetModel(msgspec.Struct, frozen=True, rename="camel"):
    """A model that takes the place of that."""

    model_rewrite: str
    weight: int = 0


class Rule(msgspec.Struct, frozen=True):
    """A rule of a rewrite: it holds for any of its matches, without matches for every model."""

    matches: tuple[Match, ...] = ()
    targets: tuple[TargetModel, ...] = ()


class RewriteSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The rules of a rewrite in their order."""

    pool_ref: PoolReference
    rules: tuple[Rule, ...] = ()


class InferenceModelRewrite(Object, frozen=True, kw_only=True):
    """Rules by which models are rewritten."""

    spec: RewriteSpec


POOLS = Kind(GROUP, "v1", "InferencePool", "inferencepools", InferencePool)
OBJECTIVES = Kind(ALPHA_GROUP, "v1alpha2", "InferenceObjective", "inferenceobjectives", InferenceObjective)
REWRITES = Kind(ALPHA_GROUP, "v1alpha2", "InferenceModelRewrite", "inferencemodelrewrites", InferenceModelRewrite)


class InferencePools:
    """The pods of the pools in the namespace of `service`, `namespace/name`, that name it as their picker."""

    def __init__(self, settings: KubernetesSettings, service: str, strategies: Collection[str], rng: Random) -> None:
        self._settings = settings
        self._namespace, _, self._service = service.partition("/")
        self._strategies = strategies
        self._rng = rng
        self._known: Collection[str] | None = None  # pools that were logged
        self._followed: Sequence[Informer[Any]] = ()

    def behind_s(self) -> Mapping[str, float]:
        """Return for how long each set has not been the API server's, by kind."""
        return behind(self._followed)

    async def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the fleet after the first lists, and whenever it is another one; it is empty while there is no pool.

        Raises NoWayError where it is not known how to reach the API server.
        """
        fleet, here = Fleet(self._strategies), Selection(self._namespace)
        async with client_for(self._settings) as client:

            def follow(kind: Kind[Any], selection: Selection) -> Informer[Any]:
                return Informer(client, kind, selection, self._rng, PACE)

            pods, nodes = follow(PODS, here), follow(NODES, Selection())
            workloads = named(client, WORKLOADS, self._namespace, self._rng)
            pools, objectives, rewrites = extension = [follow(kind, here) for kind in (POOLS, OBJECTIVES, REWRITES)]
            self._followed = (pods, *workloads, nodes, *extension)

            def describe() -> FleetDescription:
                ours = ours_of(pools.objects.values(), self._service)
                self._log(ours)
                in_pools = tuple(_pool(pool) for pool in ours.values())
                cluster = Cluster(pods.objects, nodes.objects, by_kind(workloads), pools=in_pools)
                described = fleet.describe(cluster)
                return replace(
                    described,
                    objectives=priorities(objectives.objects.values(), ours),
                    rewrites=tuple(rules(rewrites.objects.values(), ours)),
                )

            async with aclosing(values(describe, (pods, *workloads), (nodes, *extension))) as described:
                async for description in described:
                    yield description

    def _log(self, ours: Mapping[str, InferencePool]) -> None:
        if ours.keys() != self._known:
            self._known = ours.keys()
            log.info("inference_pools", pools=sorted(ours), picker=f"{self._namespace}/{self._service}")


def ours_of(pools: Iterable[InferencePool], service: str) -> Mapping[str, InferencePool]:
    """Return the pools, by name, that name a Service as their picker and are not about to go."""
    picker = PickerReference(service)
    return {
        pool.metadata.name: pool
        for pool in pools
        if pool.spec.endpoint_picker_ref == picker and pool.metadata.deletion_timestamp is None
    }


def priorities(objectives: Iterable[InferenceObjective], pools: Mapping[str, InferencePool]) -> Mapping[str, int]:
    """Return the priority by the name of the objective, of those that are about one of the pools."""
    return {one.metadata.name: one.spec.priority or 0 for one in objectives if _is_about(one.spec.pool_ref, pools)}


def rules(rewrites: Iterable[InferenceModelRewrite], pools: Mapping[str, InferencePool]) -> Iterator[Rewrite]:
    """Yield the rules about the pools, those of the oldest object first.  Without weights targets are equal."""
    about = [one for one in rewrites if _is_about(one.spec.pool_ref, pools)]
    for one in sorted(about, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name)):
        for rule in one.spec.rules:
            is_even = not any(target.weight for target in rule.targets)
            targets = tuple(Target(target.model_rewrite, target.weight or int(is_even)) for target in rule.targets)
            if targets:
                yield Rewrite(tuple(match.model.value for match in rule.matches), targets)


def _is_about(reference: PoolReference, pools: Mapping[str, InferencePool]) -> bool:
    return reference.name in pools and reference.group == GROUP and reference.kind == POOLS.name


def _pool(pool: InferencePool) -> Pool:
    spec = pool.spec
    return Pool(pool.metadata.namespace, spec.selector.match_labels, tuple(port.number for port in spec.target_ports))
