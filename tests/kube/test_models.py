"""Labels by which objects name models, and types of GPUs."""

import pytest

from kube.models import MODEL, Container, Resources, asked_gpu, model_of, owner_of
from kube.objects import Metadata, Owner


@pytest.mark.parametrize(
    ("model", "labels", "annotations"),
    [
        ("m", {MODEL: "m"}, {}),
        ("m", {MODEL: "m"}, {MODEL: "org/Name"}),
        ("org/Name", {}, {MODEL: "org/Name"}),
        ("", {}, {}),
    ],
)
def test_a_model_is_named_by_the_label_else_by_the_annotation(
    model: str, labels: dict[str, str], annotations: dict[str, str]
):
    assert model == model_of(Metadata(labels=labels, annotations=annotations))


@pytest.mark.parametrize(
    ("gpu", "resources"),
    [
        ("nvidia-rtx-3090-24GB", ["cpu", "nvidia.com/nvidia-rtx-3090-24GB"]),
        ("mi300x", ["amd.com/gpu", "amd.com/mi300x"]),
        ("", ["nvidia.com/gpu"]),
        ("", ["nvidia.com/mig-1g.5gb"]),
        ("", ["gpu.intel.com/i915"]),
        ("", ["example.com/fpga"]),
        ("", []),
    ],
)
def test_the_type_of_a_gpu_is_in_the_name_of_its_resource(gpu: str, resources: list[str]):
    containers = [Container(Resources(limits={resource: "1"})) for resource in resources]

    assert gpu == asked_gpu(containers)


@pytest.mark.parametrize(
    ("owner", "workload"),
    [
        (Owner("ReplicaSet", "d-5d8f", controller=True), ("Deployment", "d")),
        (Owner("ReplicaSet", "by-hand", controller=True), ("Deployment", "by-hand")),
        (Owner("StatefulSet", "s", controller=True), ("StatefulSet", "s")),
        (Owner("ConfigMap", "c"), ("", "")),
        (None, ("", "")),
    ],
)
def test_the_workload_is_the_owner(owner: Owner | None, workload: tuple[str, str]):
    owners = (owner,) if owner else ()

    assert workload == owner_of(Metadata(labels={"pod-template-hash": "5d8f"}, owner_references=owners))
