"""Workloads on a real API server that are scaled, and what their autoscalers say, for tests.

Lives here: making them, reading, waiting.  Not here: what must come of them (tests).
"""

from functools import partial
from typing import Any

from controllers.podautoscaler.objects import AUTOSCALERS, PodAutoscaler
from kube.client import Client
from kube.models import MODEL
from kube.objects import Kind, body
from kube.scaling import Scale, Scales
from tests.support.kubernetes.autoscalers import an_autoscaler
from tests.support.kubernetes.deployments import DEPLOYMENTS
from tests.support.polling import until

eventually = partial(until, every_s=0.05, deadline_s=120.0)


async def a_target(
    api: Client, name: str, replicas: int = 1, kind: Kind[Any] = DEPLOYMENTS, model: str = "", **more: Any
) -> None:
    """A workload without pods, as no controller of Kubernetes runs; `more` are fields of its spec."""
    own = {"app": name}
    template = {"metadata": {"labels": own}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": own}, "template": template, **more}
    metadata = {"labels": {MODEL: model}} if model else {}
    await api.create(kind, body(kind, name, "default", metadata=metadata, spec=spec))


async def replicas(api: Client, name: str, kind: Kind[Any] = DEPLOYMENTS) -> int:
    scale: Scale = await Scales(api).read(kind.api_version, kind.name, name, "default")
    return scale.spec.replicas


async def has(api: Client, name: str, wanted: int, kind: Kind[Any] = DEPLOYMENTS) -> bool:
    return await replicas(api, name, kind) == wanted


def of(name: str, kind: Kind[Any] = DEPLOYMENTS) -> dict[str, Any]:
    return {"scaleTargetRef": {"apiVersion": kind.api_version, "kind": kind.name, "name": name}}


async def autoscale(api: Client, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> None:
    document = an_autoscaler(name, **spec)
    document["metadata"]["annotations"] = annotations or {}
    await api.create(AUTOSCALERS, document)


async def said(api: Client, name: str, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    found: PodAutoscaler = await api.get(AUTOSCALERS, name, "default")
    [one] = [one for one in found.status.conditions if one.type == kind] or [None]
    return (one.status, one.reason, one.message) if one else ("", "", "")


async def says(api: Client, name: str, kind: str, status: str, words: str = "") -> str:
    """The message of a condition, as soon as it is so and has these words."""

    async def is_so() -> bool:
        now, reason, message = await said(api, name, kind)
        return now == status and words in f"{reason} {message}"

    await eventually(is_so)
    return (await said(api, name, kind))[2]
