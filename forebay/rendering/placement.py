"""One's own nodes first, those of the cloud then: for the schedulers and autoscalers of nodes that there are.

Lives here: ACK's ResourcePolicy, and its portable equivalents.  Not here: the pods (workload).

The first place is preferred by pods themselves, so that any scheduler fills it first; the other objects say which nodes
are added when none are left.
"""

from collections.abc import Sequence
from typing import Any

from forebay.rendering.asked import Asked, Place

Json = dict[str, Any]

TAINT = "forebay.io/pool"
"""The key of the taint by which nodes of a cloud keep other pods away."""
MOST_WEIGHT = 100
"""The largest weight of a preference and of a Karpenter NodePool."""


def affinity(places: Sequence[Place]) -> Json:
    """Return the pods' preference for the places in their order, nothing where there is none."""
    terms = [
        {
            "weight": max(1, MOST_WEIGHT >> index),
            "preference": {"matchExpressions": [{"key": place.label, "operator": "In", "values": [place.value]}]},
        }
        for index, place in enumerate(places)
    ]
    preferred = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    return {"affinity": preferred} if terms else {}


def tolerations(places: Sequence[Place]) -> Json:
    """Return what lets the pods onto nodes of all but the first place, which may be tainted with its name."""
    found = [{"key": TAINT, "operator": "Equal", "value": one.value, "effect": "NoSchedule"} for one in places[1:]]
    return {"tolerations": found} if found else {}


def resource_policy(asked: Asked) -> list[Json]:
    """Return ACK's policy: its scheduler fills the units in their order, and empties them in reverse."""
    units = [{"resource": place.resource, "nodeSelector": place.selector} for place in asked.places]
    policy = {
        "apiVersion": "scheduling.alibabacloud.com/v1alpha1",
        "kind": "ResourcePolicy",
        "metadata": {"name": asked.name, "namespace": asked.namespace},
        "spec": {"selector": {"app": asked.app}, "strategy": "prefer", "units": units},
    }
    return [policy]


def priority_expander(asked: Asked) -> list[Json]:
    """Return the order of cluster-autoscaler (`--expander=priority`), by names of node groups: higher numbers first."""
    places = list(reversed(asked.places))
    lines = [f"{10 * (index + 1)}:\n  - .*{place.value}.*\n" for index, place in enumerate(places)]
    metadata = {"name": "cluster-autoscaler-priority-expander", "namespace": "kube-system"}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"priorities": "".join(lines)}}]


def karpenter(asked: Asked) -> list[Json]:
    """Return a NodePool for each place; of those that fit the one of the greatest weight is used.

    Their node classes, which say what a node is at a provider, are the user's: `forebay-<value>`.
    """
    return [
        {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": f"{asked.name}-{index}"},
            "spec": {
                "weight": max(1, MOST_WEIGHT >> index),
                "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "300s"},
                "template": {"metadata": {"labels": place.selector}, "spec": _karpenter_nodes(place, index)},
            },
        }
        for index, place in enumerate(asked.places)
    ]


def _karpenter_nodes(place: Place, index: int) -> Json:
    node_class = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": f"forebay-{place.value}"}
    taints = [{"key": TAINT, "value": place.value, "effect": "NoSchedule"}] if index else []
    requirements = [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]
    return {"nodeClassRef": node_class, "requirements": requirements, **({"taints": taints} if taints else {})}


def kueue(asked: Asked) -> list[Json]:
    """Return a flavor for each place, and a queue that takes the first flavor with quota left.

    The quota of each is what all replicas need; that of one's own place is the number of GPUs that it has, which only
    the user knows.
    """
    version, covered = "kueue.x-k8s.io/v1beta1", ["nvidia.com/gpu"]
    flavors = [
        {"apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": place.value},
         "spec": {"nodeLabels": place.selector}}
        for place in asked.places
    ]  # fmt: skip
    quota = asked.max_replicas * max(1, asked.gpus)
    quotas = [
        {"name": place.value, "resources": [{"name": "nvidia.com/gpu", "nominalQuota": quota}]}
        for place in asked.places
    ]
    group = {"coveredResources": covered, "flavors": quotas}
    cluster = {"namespaceSelector": {}, "resourceGroups": [group]}
    return [
        *flavors,
        {"apiVersion": version, "kind": "ClusterQueue", "metadata": {"name": asked.name}, "spec": cluster},
        {"apiVersion": version, "kind": "LocalQueue",
         "metadata": {"name": asked.name, "namespace": asked.namespace}, "spec": {"clusterQueue": asked.name}},
    ]  # fmt: skip


SCHEDULERS = {
    "ack": resource_policy, "cluster-autoscaler": priority_expander, "karpenter": karpenter, "kueue": kueue,
}  # fmt: skip
"""The objects of each scheduler or autoscaler of nodes, by the name of the option."""
