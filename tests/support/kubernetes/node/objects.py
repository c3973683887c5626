"""Pods and nodes as the node of tests reads them: containers as they are written, all else by name."""

from typing import Any

import msgspec

from kube.objects import Kind, Metadata, Object

Json = dict[str, Any]


class PodMetadata(Metadata, frozen=True, rename="camel"):
    deletion_grace_period_seconds: int | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    containers: tuple[Json, ...] = ()
    init_containers: tuple[Json, ...] = ()
    node_name: str = ""
    node_selector: dict[str, str] = {}
    restart_policy: str = "Always"
    scheduler_name: str = ""
    service_account_name: str = ""
    volumes: tuple[Json, ...] = ()
    scheduling_gates: tuple[Json, ...] = ()
    readiness_gates: tuple[Json, ...] = ()


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = "Pending"
    ip: str = msgspec.field(name="podIP", default="")
    conditions: tuple[Json, ...] = ()
    container_statuses: tuple[Json, ...] = ()


class Pod(Object, frozen=True):
    metadata: PodMetadata = PodMetadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_over(self) -> bool:
        return self.status.phase in {"Succeeded", "Failed"}


PODS = Kind("", "v1", "Pod", "pods", Pod)
NODES = Kind("", "v1", "Node", "nodes", Object)
BINDINGS = Kind("", "v1", "Binding", "bindings", Object)
