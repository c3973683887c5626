"""Labels, templates and status of workloads, and the deployments that they are."""

from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from optimizer.planning.deployments import Deployment
from optimizer.service.workloads import WORKLOADS, Workload, Workloads

NAME = "model.aibrix.ai/name"
PRODUCT = {"nvidia.com/gpu.product": "NVIDIA-L20"}


def a_workload(name: str = "m-l20", **changes: Any) -> Workload:
    """A Deployment as the API server tells it; `labels` are its own, `pod_labels` those of its template."""
    labels = {NAME: "m", **changes.pop("labels", {})}
    template = {
        "metadata": {"labels": changes.pop("pod_labels", {})},
        "spec": {
            "nodeSelector": changes.pop("nodes", {}),
            "containers": [{"resources": {"limits": changes.pop("limits", {})}}],
        },
    }
    body = {
        "metadata": {"name": name, "namespace": "n", "labels": labels, **changes.pop("metadata", {})},
        "spec": {"replicas": 3, "template": template, **changes.pop("spec", {})},
        "status": changes.pop("status", {"readyReplicas": 2}),
    }
    assert not changes
    return WORKLOADS[0].decode(msgspec.json.encode(body))


def deployments(*workloads: Workload) -> tuple[Deployment, ...]:
    return Workloads().deployments({("Deployment", each.metadata.key): each for each in workloads})


def the_one(**changes: Any) -> Deployment:
    (deployment,) = deployments(a_workload(**changes))
    return deployment


def test_a_workload_with_a_model_is_a_deployment():
    assert Deployment("n", "m-l20", "m", replicas=3, ready=2) == the_one()


def test_a_workload_without_replicas_has_what_kubernetes_gives_it():
    one = the_one(spec={}, status={})
    zero = the_one(spec={"replicas": 0}, status={})

    assert [(3, 0), (0, 0)] == [(each.replicas, each.ready) for each in (one, zero)]


def test_the_model_may_be_in_the_annotation():
    assert "org/M" == the_one(labels={NAME: ""}, metadata={"labels": {}, "annotations": {NAME: "org/M"}}).model


@pytest.mark.parametrize("metadata", [{"labels": {}}, {"deletionTimestamp": "2027-01-15T08:00:00Z"}])
def test_a_workload_without_a_model_or_about_to_go_is_none(metadata: dict[str, Any]):
    assert () == deployments(a_workload(metadata=metadata))


def test_labels_say_the_bounds_and_the_price():
    names = ("min_replicas", "min_replicas_policy", "max_replicas", "gpu_cost")
    said = dict(zip((f"model.aibrix.ai/{name}" for name in names), ("1", "always", "8", "1.25"), strict=True))

    found = the_one(labels={**said, "forebay.io/pool-priority": "2", "forebay.io/spot": "true"})

    assert (1, True, 8, 1.25) == (found.min_replicas, found.is_min_always, found.max_replicas, found.cost)
    assert (2, True) == (found.pool_priority, found.is_spot)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        *[("model.aibrix.ai/min_replicas", text) for text in ("-1", "1.5", "two", "9" * 20, "٣")],
        ("model.aibrix.ai/min_replicas_policy", "sometimes"),
        ("model.aibrix.ai/max_replicas", "many"),
        *[("model.aibrix.ai/gpu_cost", text) for text in ("0", "-1", "nan", "inf", "cheap")],
        ("forebay.io/pool-priority", "first"),
        ("forebay.io/spot", "yes"),
    ],
)
def test_a_label_that_cannot_be_used_is_logged_and_as_if_absent(label: str, text: str):
    with capture_logs() as logs:
        found = the_one(labels={label: text})

    assert the_one() == found
    [line] = logs
    assert ("workload_labels_ignored", "n/m-l20") == (line["event"], line["key"])
    assert f"{label} = {text!r}, must be" in line["why"][0]


def test_a_minimum_above_the_maximum_is_the_maximum():
    with capture_logs() as logs:
        found = the_one(labels={"model.aibrix.ai/min_replicas": "3", "model.aibrix.ai/max_replicas": "2"})

    assert (2, 2) == (found.min_replicas, found.max_replicas)
    assert 1 == len(logs)


@pytest.mark.parametrize(
    ("gpu", "changes"),
    [
        ("L20", {"pod_labels": {"forebay.io/gpu": "L20"}, "nodes": PRODUCT}),
        ("V100", {"nodes": {"forebay.io/gpu": "V100", **PRODUCT}}),
        ("NVIDIA-L20", {"nodes": PRODUCT, "limits": {"nvidia.com/rtx-3090": "1"}}),
        ("rtx-3090", {"limits": {"cpu": "1", "nvidia.com/rtx-3090": "1"}}),
        ("", {"limits": {"nvidia.com/gpu": "1"}}),
    ],
)
def test_the_gpu_type_is_known_without_a_pod(gpu: str, changes: dict[str, Any]):
    assert gpu == the_one(**changes).gpu


def test_the_pool_is_that_of_the_pods_or_their_nodes():
    both = {"pod_labels": {"forebay.io/pool": "own"}, "nodes": {"forebay.io/pool": "cloud"}}

    assert ["own", "cloud"] == [the_one(**both).pool, the_one(nodes=both["nodes"]).pool]


def test_of_two_kinds_of_one_name_the_deployment_counts():
    one, other = a_workload(), a_workload(spec={"replicas": 9})

    found = Workloads().deployments({("StatefulSet", "n/m-l20"): other, ("Deployment", "n/m-l20"): one})

    assert [3] == [each.replicas for each in found]


def test_deployments_come_in_the_order_of_their_keys():
    assert ["a", "b"] == [each.name for each in deployments(a_workload("b"), a_workload("a"))]


def test_what_cannot_be_used_is_logged_once():
    workloads, said = Workloads(), {"model.aibrix.ai/max_replicas": "many"}
    with capture_logs() as logs:
        for ready in (0, 1, 1):
            workload = a_workload(labels=said, status={"readyReplicas": ready})
            workloads.deployments({("Deployment", "n/m-l20"): workload})

    assert 1 == len(logs)
