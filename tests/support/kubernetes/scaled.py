"""A Deployment that is scaled, as an API server tells of it, and an observer that says what a test wants.

Lives here: conversations and the observer, for tests without a server.  Not here: what must come of them (tests).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from autoscaling.observation import Observation, PodReading
from autoscaling.spec import Spec, Target
from controllers.podautoscaler.observing import Observed, ScaledPod
from tests.support.kubernetes.conversation import ANY, Answer, Exchange, Request, answer

MISSING = answer('{"code": 404, "reason": "NotFound", "message": "there is no such thing"}', status=404)
SCALE = "/apis/apps/v1/namespaces/default/deployments/d/scale"
PODS = "/api/v1/namespaces/default/pods?labelSelector=app%3Dd&limit=500"
STATES = "/api/v1/namespaces/home/configmaps"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


def kinds() -> Exchange:
    """The place of Deployments in the API."""
    found = [{"name": "deployments", "kind": "Deployment"}, {"name": "deployments/scale", "kind": "Scale"}]
    return Request("GET", "/apis/apps/v1"), answer(json.dumps({"resources": found}))


def a_pod(name: str, *, ready: bool = True, deleted: bool = False, phase: str = "Running", **labels: str) -> Any:
    """A pod of the Deployment."""
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "labels": {"app": "d"} | labels}
    if deleted:
        metadata["deletionTimestamp"] = "2027-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": phase, "podIP": "10.0.0.1", "startTime": "2027-01-01T00:00:00Z", "conditions": conditions}
    return {"metadata": metadata, "status": status}


def a_look(replicas: int, *pods: Any, actual: int | None = None) -> list[Exchange]:
    """The replicas and the pods of the Deployment."""
    scale = {
        "metadata": {"name": "d", "namespace": "default", "uid": "d-uid"},
        "spec": {"replicas": replicas},
        "status": {"replicas": len(pods) if actual is None else actual, "selector": "app=d"},
    }
    listed = {"metadata": {"resourceVersion": "1"}, "items": list(pods)}
    return [(Request("GET", SCALE), answer(json.dumps(scale))), (Request("GET", PODS), answer(json.dumps(listed)))]


def the_object(**labels: str) -> Exchange:
    """The Deployment itself."""
    return (
        Request("GET", SCALE.removesuffix("/scale")),
        answer(json.dumps({"metadata": {"name": "d", "labels": labels}})),
    )


def scaled(replicas: int, told: Answer | None = None) -> Exchange:
    """The call that gives the Deployment replicas."""
    body = json.dumps({"spec": {"replicas": replicas}}, separators=(",", ":"))
    return Request("PATCH", f"{SCALE}?fieldManager=forebay-test", body, MERGE), told or answer("{}")


def recalled(uid: str, state: Mapping[str, Any] | None = None) -> Exchange:
    """The state of an autoscaler, or that there is none."""
    told = MISSING if state is None else answer(json.dumps({"data": {"state.json": json.dumps(state)}}))
    return Request("GET", f"{STATES}/podautoscaler-{uid}"), told


def kept(uid: str, told: Answer | None = None) -> Exchange:
    """The call that keeps a state."""
    path = f"{STATES}/podautoscaler-{uid}?fieldManager=forebay-test&force=true"
    return Request("PATCH", path, ANY, APPLY), told or answer("{}")


class Seeing:
    """An observer: each ready pod has the load `load`, whatever the metric; None: it is not read."""

    def __init__(self, load: float | None = 0.0, now_s: float = 1_800_000_000.0) -> None:
        self.load = load
        self.now_s = now_s
        self.seen: list[tuple[str, int, int, int]] = []  # model, pods, starting, draining
        self.forgotten: list[Target] = []

    async def observe(
        self, spec: Spec, model: str, pods: Sequence[ScaledPod], starting: int, draining: int
    ) -> Observed:
        self.seen.append((model, len(pods), starting, draining))
        ready = [pod for pod in pods if pod.is_ready]
        values = {} if self.load is None else {source.metric: self.load for source in spec.sources}
        readings = tuple(PodReading(pod.name, metrics=values) for pod in ready)
        observation = Observation(self.now_s, len(ready), starting, draining, readings, external=values)
        return Observed(observation, () if values else ("http://10.0.0.1:8000/metrics answered 404",))

    def forget(self, target: Target) -> None:
        self.forgotten.append(target)
