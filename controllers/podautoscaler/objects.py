"""The objects that are read and written for autoscaling: PodAutoscalers with their status, and pods.

Lives here: their kinds and fields, without I/O.  Not here: what a specification means (autoscaling.spec_reading), the
HorizontalPodAutoscalers of strategy HPA (hpas).  autoscaling.aibrix.ai/v1alpha1 as in deploy/base/crds.
"""

from typing import Any

import msgspec

from controllers.modeladapter.objects import PodSpec
from kube.conditions import Condition
from kube.objects import Kind, Object


class ScalingDecision(msgspec.Struct, frozen=True, rename="camel"):
    """One change of a target's replicas, or the attempt."""

    timestamp: str  # RFC 3339
    previous_scale: int
    new_scale: int
    reason: str
    success: bool
    error: str = ""


class ScheduledBounds(msgspec.Struct, frozen=True, rename="camel"):
    """The bounds that hold now, of an autoscaler that has schedules."""

    effective_min_replicas: int
    effective_max_replicas: int
    active_schedule: str = ""


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """The status of a PodAutoscaler."""

    last_scale_time: str | None = None  # RFC 3339
    desired_scale: int | None = None
    actual_scale: int | None = None
    conditions: tuple[Condition, ...] = ()
    scaling_history: tuple[ScalingDecision, ...] = ()  # the newest last
    scheduled_bounds: ScheduledBounds | None = None


class PodAutoscaler(Object, frozen=True):
    """A PodAutoscaler; its `spec` as it is written."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: Status = Status()

    def document(self) -> dict[str, Any]:
        """Return the object as `spec_reading` reads it."""
        metadata = {
            "name": self.metadata.name, "namespace": self.metadata.namespace,
            "labels": self.metadata.labels, "annotations": self.metadata.annotations,
        }  # fmt: skip
        return {"metadata": metadata, "spec": self.spec}


class PodCondition(msgspec.Struct, frozen=True):
    """One thing that is true of a pod, or is not."""

    type: str
    status: str


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The state of a pod."""

    phase: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    start_time: str | None = None  # RFC 3339
    conditions: tuple[PodCondition, ...] = ()


class Pod(Object, frozen=True):
    """A pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more, and never will again."""
        return self.status.phase in {"Succeeded", "Failed"}

    @property
    def is_ready(self) -> bool:
        """Whether Kubernetes sends it requests."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)

    @property
    def is_serving(self) -> bool:
        """Whether it takes requests, and is to stay."""
        return self.is_ready and self.metadata.deletion_timestamp is None


AUTOSCALERS = Kind("autoscaling.aibrix.ai", "v1alpha1", "PodAutoscaler", "podautoscalers", PodAutoscaler)
PODS = Kind("", "v1", "Pod", "pods", Pod)
