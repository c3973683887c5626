"""Objects that serve models: the labels by which they say so, and types of GPUs; docs/contracts.md, section 5.

Lives here: names and what they mean, without I/O.  Not here: what is made of them (gateway.discovery, controllers,
optimizer.service).
"""

import math
from collections.abc import Iterable, Iterator

import msgspec

from kube.objects import Metadata

MODEL, PORT = "model.aibrix.ai/name", "model.aibrix.ai/port"
DEFAULT_PORT = 8000
BY_ANNOTATION = f"!{MODEL},{PORT}"
"""The objects whose model may be in an annotation, which no selector reads: they name their port and no model."""
GPU, POOL, GPU_PRODUCT = "forebay.io/gpu", "forebay.io/pool", "nvidia.com/gpu.product"
POOL_PRIORITY = "forebay.io/pool-priority"
GPU_COST = "model.aibrix.ai/gpu_cost"
TEMPLATE_HASH = "pod-template-hash"
GPU_VENDORS = ("nvidia.com/", "amd.com/", "gpu.intel.com/")
NO_TYPE = ("gpu", "mig-", "i915", "xe")
"""Names, or their beginnings, of GPU resources that say no type."""


class Resources(msgspec.Struct, frozen=True):
    """The resources of a container.  Kubernetes takes no request for GPUs without a limit, which is as high."""

    limits: dict[str, str | int | float] = {}


class Container(msgspec.Struct, frozen=True):
    """The part of a container that tells which GPU it wants."""

    resources: Resources = Resources()


def model_of(metadata: Metadata) -> str:
    """Return the model in the label, or in the annotation of the same name: no label can hold `org/Name`."""
    return metadata.labels.get(MODEL) or metadata.annotations.get(MODEL, "")


def cost_of(text: str) -> float | None:
    """Return the price of a replica per hour; None for what is no number above 0."""
    try:
        cost = float(text)
    except ValueError:
        return None
    return cost if 0 < cost < math.inf else None


def owner_of(metadata: Metadata) -> tuple[str, str]:
    """Return kind and name of what owns the pod: the Deployment, where that owns it by a ReplicaSet; else empty."""
    owner = next((one for one in metadata.owner_references if one.controller), None)
    if owner is None:
        return "", ""
    if owner.kind != "ReplicaSet":
        return owner.kind, owner.name
    return "Deployment", owner.name.removesuffix(f"-{metadata.labels.get(TEMPLATE_HASH, '')}")


def asked_gpu(containers: Iterable[Container]) -> str:
    """Return the type in the name of the GPU resource that is asked for, empty where that says none."""
    return next((name for name in _asked_gpus(containers) if not name.startswith(NO_TYPE)), "")


def _asked_gpus(containers: Iterable[Container]) -> Iterator[str]:
    for container in containers:
        for resource in container.resources.limits:
            if resource.startswith(GPU_VENDORS):
                yield resource.partition("/")[2]
