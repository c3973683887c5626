"""ModelAdapters and pods with engines, for tests of their controller."""

from typing import Any

from controllers.modeladapter.objects import (
    Adapter,
    AdapterSpec,
    Container,
    ContainerPort,
    ContainerStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    Selector,
    host_of,
)
from controllers.modeladapter.plan import Probe
from kube.objects import Metadata

BASE = {"model.aibrix.ai/name": "base"}


def an_adapter(name: str = "lora", replicas: int = 1, url: str = "/models/lora", **others: Any) -> Adapter:
    spec: dict[str, Any] = {"base_model": "base", "pod_selector": Selector(BASE), **others.pop("spec", {})}
    fields = {"labels": {"model.aibrix.ai/port": "8000"}, **others.pop("meta", {})}
    meta = Metadata(name, "default", uid=name, generation=1, **fields)
    return Adapter(meta, AdapterSpec(artifact_url=url, replicas=replicas, **spec), **others)


def a_pod(name: str, *, ready: bool = True, sidecar: bool = False, restarts: int = 0, **meta: Any) -> Pod:
    containers = [Container("engine", (ContainerPort(8000),))]
    if sidecar:
        containers.append(Container("aibrix-runtime", (ContainerPort(8090),)))
    number = sum(map(ord, name)) % 250
    status = PodStatus(
        f"10.0.0.{number}", (PodCondition("Ready", str(ready)),), (ContainerStatus(restarts),)
    )  # fmt: skip
    fields = {"labels": BASE, **meta}
    return Pod(Metadata(name, "default", uid=name, **fields), PodSpec(tuple(containers)), status)


def by_key(*objects: Any) -> dict[str, Any]:
    return {one.metadata.key: one for one in objects}


def probes(*answers: tuple[Pod, tuple[str, ...] | None]) -> dict[str, Probe]:
    """The adapters that these pods' engines list, beside their base model; None = no answer."""
    return {
        pod.metadata.key: Probe(host_of(pod), None if names is None else frozenset(("base", *names)))
        for pod, names in answers
    }
