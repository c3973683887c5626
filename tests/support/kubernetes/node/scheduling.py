"""Whether a pod fits a node: node selector and sums of requests.  Not here: affinity, taints, cordon."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.support.kubernetes.node.objects import Pod

FACTORS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Offer(NamedTuple):
    """The labels and resources of a node."""

    name: str
    labels: Mapping[str, str]
    capacity: Mapping[str, str]


def amount(quantity: str) -> float:
    """A quantity of Kubernetes as a number: 250m, 2, 4Gi."""
    digits = quantity.rstrip("mkMGTi")
    return float(digits) * FACTORS.get(quantity[len(digits) :], 1)


def requested(pod: Pod, resource: str) -> float:
    """How much of a resource a pod asks for."""
    asked = (one.get("resources", {}).get("requests", {}).get(resource, "0") for one in pod.spec.containers)
    return sum(amount(str(quantity)) for quantity in asked)


def waits(pod: Pod) -> bool:
    """Whether a scheduler has to find a node for the pod."""
    is_ours = pod.spec.scheduler_name in {"", "default-scheduler"}
    return is_ours and not (pod.spec.node_name or pod.metadata.deletion_timestamp or pod.spec.scheduling_gates)


def misfit(pod: Pod, offer: Offer, others: Iterable[Pod]) -> str:
    """Why the pod does not fit beside the others; empty when it does."""
    if any(offer.labels.get(label) != value for label, value in pod.spec.node_selector.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    here = [pod, *(one for one in others if one.spec.node_name == offer.name and not one.is_over)]
    resources = {name for one in pod.spec.containers for name in one.get("resources", {}).get("requests", {})}
    for resource in sorted(resources):
        if sum(requested(one, resource) for one in here) > amount(offer.capacity.get(resource, "0")):
            return f"Insufficient {resource}"
    return ""
