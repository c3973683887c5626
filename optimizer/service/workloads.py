"""Deployments of models as the workloads of a cluster are: labels, templates and status, made into values.

Lives here: what is read of one workload and what it means, without I/O.  Not here: following them (cluster).  The
labels are those of docs/contracts.md, section 5.  Whatever a label says that cannot be used is logged, and is as if it
were not there.  Nodes and pods are not read: a deployment has a GPU type while it has no pod.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from kube.models import (
    GPU,
    GPU_COST,
    GPU_PRODUCT,
    POOL,
    POOL_PRIORITY,
    Container,
    asked_gpu,
    cost_of,
    model_of,
)
from kube.objects import Key, Kind, Metadata, Object
from optimizer.planning.deployments import Deployment

MIN_REPLICAS, MIN_REPLICAS_POLICY, MAX_REPLICAS = (
    f"model.aibrix.ai/{name}" for name in ("min_replicas", "min_replicas_policy", "max_replicas")
)
SPOT = "forebay.io/spot"
POLICIES: Mapping[str, bool] = {"idle": False, "always": True}
TRUTHS: Mapping[str, bool] = {"true": True, "false": False}
DIGITS = 6
"""The most digits of a count (chosen): far above any cluster."""

T = TypeVar("T")
D = TypeVar("D")

log = structlog.get_logger(__name__)


class TemplateSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The GPUs that pods will ask for, and the labels of nodes that they may run on."""

    containers: tuple[Container, ...] = ()
    node_selector: dict[str, str] = {}


class Template(msgspec.Struct, frozen=True):
    """The pods that a workload makes."""

    metadata: Metadata = Metadata()
    spec: TemplateSpec = TemplateSpec()


class WorkloadSpec(msgspec.Struct, frozen=True):
    """The replicas that are wanted."""

    replicas: int = 1
    template: Template = Template()


class WorkloadStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The replicas that there are."""

    ready_replicas: int = 0


class Workload(Object, frozen=True):
    """A Deployment or StatefulSet, which agree in all that is read."""

    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


WORKLOADS = (
    Kind("apps", "v1", "Deployment", "deployments", Workload),
    Kind("apps", "v1", "StatefulSet", "statefulsets", Workload),
)


class _Read(NamedTuple):
    """A workload and the deployment that it is, if any, with what cannot be used of it."""

    workload: Workload
    deployment: Deployment | None
    problems: tuple[str, ...]


class Workloads:
    """Reads the workloads of a cluster, again and again; those that did not change cost next to nothing."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Key], _Read] = {}

    def deployments(self, workloads: Mapping[tuple[str, Key], Workload]) -> tuple[Deployment, ...]:
        """Return the deployments by kind and key, in the order of their keys.

        Of a Deployment and a StatefulSet that share name and namespace the former counts: nothing tells their replicas
        apart in URLs and profiles.
        """
        self._known = {key: self._read(key, workload) for key, workload in workloads.items()}
        found: dict[Key, Deployment] = {}
        for _, read in sorted(self._known.items()):  # Deployment before StatefulSet
            if read.deployment is not None:
                found.setdefault(read.deployment.key, read.deployment)
        return tuple(found[key] for key in sorted(found))

    def _read(self, key: tuple[str, Key], workload: Workload) -> _Read:
        before = self._known.get(key)
        if before is not None and before.workload is workload:
            return before
        reader = Reader(workload.metadata.labels)
        read = _Read(workload, deployment_of(workload, reader), tuple(reader.problems))
        if read.problems and (before is None or before.problems != read.problems):
            log.warning("workload_labels_ignored", kind=key[0], key=key[1], why=read.problems)
        return read


class Reader:
    """Reads the labels of one workload, and notes those that cannot be used."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self.problems: list[str] = []

    def value(self, label: str, parse: Callable[[str], T | None], default: D, rule: str) -> T | D:
        """Return what the label says, the default where it is absent or cannot be used."""
        text = self._labels.get(label, "")
        if not text:
            return default
        if (parsed := parse(text)) is None:
            self.problems.append(f"{label} = {text!r}, {rule}")
            return default
        return parsed


def deployment_of(workload: Workload, reader: Reader) -> Deployment | None:
    """Return the deployment that the workload is; None where it names no model, or is about to go."""
    meta, template = workload.metadata, workload.spec.template
    model = model_of(meta)
    if not model or meta.deletion_timestamp is not None:
        return None
    labels, node_labels = template.metadata.labels, template.spec.node_selector
    most = reader.value(MAX_REPLICAS, _count, None, "must be a whole number")
    least = reader.value(MIN_REPLICAS, _count, 0, "must be a whole number")
    if most is not None and least > most:
        reader.problems.append(f"{MIN_REPLICAS} = {least}, must be at most {MAX_REPLICAS} = {most}")
    return Deployment(
        namespace=meta.namespace,
        name=meta.name,
        model=model,
        replicas=workload.spec.replicas,
        ready=workload.status.ready_replicas,
        min_replicas=least if most is None else min(least, most),
        is_min_always=reader.value(MIN_REPLICAS_POLICY, POLICIES.get, False, "must be idle or always"),
        max_replicas=most,
        gpu=labels.get(GPU)
        or node_labels.get(GPU)
        or node_labels.get(GPU_PRODUCT)
        or asked_gpu(template.spec.containers),
        pool=labels.get(POOL) or node_labels.get(POOL, ""),
        pool_priority=reader.value(POOL_PRIORITY, _count, 0, "must be a whole number"),
        is_spot=reader.value(SPOT, TRUTHS.get, False, "must be true or false"),
        cost=reader.value(GPU_COST, cost_of, None, "must be a number above 0"),
    )


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None
