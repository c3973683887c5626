"""The fields of adapters and pods that are read."""

from dataclasses import dataclass

import msgspec
import pytest

from controllers.modeladapter.objects import (
    ADAPTERS,
    Adapter,
    Claim,
    Requirement,
    Selector,
    claims_of,
    host_of,
    selected,
)
from routing.placement import Policy
from tests.support.adapters import a_pod, an_adapter, by_key


def test_the_articles_adapter_can_be_read():
    labels = {"model.aibrix.ai/name": "qwen-code-lora", "model.aibrix.ai/port": "8000"}
    spec = {
        "baseModel": "qwen-coder-1-5b-instruct",
        "podSelector": {"matchLabels": {"model.aibrix.ai/name": "qwen-coder-1-5b-instruct"}},
        "artifactURL": "huggingface://ai-blond/Qwen-Qwen2.5-Coder-1.5B-Instruct-lora",
        "schedulerName": "default",
    }
    text = msgspec.json.encode({"metadata": {"name": "qwen-code-lora", "labels": labels}, "spec": spec})

    adapter = ADAPTERS.decode(msgspec.Raw(text))

    assert ("", 8000, 1, Policy.LEAST_ADAPTERS) == (
        adapter.invalid(), adapter.named_port, adapter.spec.replicas, adapter.policy,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("adapter", "problem"),
    [
        (an_adapter(url="ftp://x"), "spec.artifactURL = 'ftp://x'"),
        (an_adapter(url="models/x"), "spec.artifactURL = 'models/x'"),
        (an_adapter(spec={"scheduler_name": "nearest"}), "spec.schedulerName = 'nearest'"),
        (an_adapter(spec={"pod_selector": Selector()}), "spec.podSelector selects nothing"),
    ],
)
def test_what_cannot_be_used_names_the_field(adapter: Adapter, problem: str):
    assert adapter.invalid().startswith(problem)


def test_pods_are_selected_by_labels_readiness_and_namespace():
    pods = by_key(
        a_pod("a"), a_pod("b", ready=False), a_pod("c", labels={"model.aibrix.ai/name": "other"}),
        a_pod("d", deletion_timestamp="2026-01-01T00:00:00Z"), a_pod("e"),
    )  # fmt: skip

    assert ["a", "e"] == [pod.metadata.name for pod in selected(an_adapter(), pods)]


@dataclass
class _Case:
    operator: str
    fits: tuple[bool, bool, bool]  # labels x=1, x=2, none


@pytest.mark.parametrize(
    "case",
    [
        _Case("In", (True, False, False)),
        _Case("NotIn", (False, True, True)),
        _Case("Exists", (True, True, False)),
        _Case("DoesNotExist", (False, False, True)),
        _Case("Near", (False, False, False)),
    ],
)
def test_expressions_of_selectors(case: _Case):
    requirement = Requirement("x", case.operator, ("1",))

    assert case.fits == tuple(requirement.fits(labels) for labels in ({"x": "1"}, {"x": "2"}, {}))


def test_the_runtime_is_found_by_its_containers_name():
    assert (None, 8090) == (
        host_of(a_pod("a")).sidecar_port,
        host_of(a_pod("a", sidecar=True)).sidecar_port,
    )


def test_a_label_of_the_pod_names_its_port_and_engine():
    labels = {"model.aibrix.ai/port": "9000", "model.aibrix.ai/engine": "sglang"}
    host = host_of(a_pod("a", labels=labels))

    assert (9000, "sglang", 8000) == (host.port, host.engine, host_of(a_pod("b")).port)


def test_the_oldest_adapter_with_a_port_names_it_for_pods_that_do_not():
    pods = [a_pod("a"), a_pod("b", labels={"model.aibrix.ai/port": "9000"})]
    ages = {"young": ("8001", 3), "old": ("8002", 2), "oldest": ("none", 1), "invalid": ("8003", 0)}
    adapters = by_key(
        *(
            an_adapter(
                name,
                url="ftp://x" if name == "invalid" else "/models/lora",
                meta={
                    "labels": {"model.aibrix.ai/port": port},
                    "creation_timestamp": f"2026-01-0{day + 1}T00:00:00Z",
                },
            )
            for name, (port, day) in ages.items()
        )
    )

    claims = claims_of(adapters, dict.fromkeys(adapters, pods))

    assert {"default/a": Claim("old", 8002)} == claims
    assert [8002, 9000] == [host_of(pod, claims).port for pod in pods]
