"""Targets as the API server has them: their replicas, pods and model; and writing their replicas.

Lives here: the calls for one target.  Not here: metrics (sources), how many replicas there should be (autoscaling).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from math import inf
from typing import NamedTuple

from autoscaling.spec import Target
from controllers.podautoscaler.objects import PODS, Pod
from controllers.podautoscaler.observing import ScaledPod
from kube.client import Client, Selection
from kube.errors import Forbidden
from kube.models import DEFAULT_PORT, GPU_COST, PORT, cost_of, model_of
from kube.objects import Kind, Metadata, Object
from kube.scaling import Scales

HEADS = {"RayClusterFleet": "ray.io/node-type=head"}
"""The pods that count as replicas, of kinds whose replicas are several pods."""


class Seen(NamedTuple):
    """A target at one moment."""

    replicas: int  # that there should be, as its `/scale` says
    actual: int  # that there are, ready or not
    pods: Sequence[ScaledPod]  # without those that have ended, are being deleted, or sleep
    draining: int  # those that are being deleted
    model: str  # empty where it names none
    cost: float = inf  # of a replica, per hour, where the target itself was asked and says it
    resting: Sequence[ScaledPod] = ()  # those that sleep, or drain to sleep

    def without(self, resting: Collection[str]) -> "Seen":
        """Return the target with the pods of these names set apart."""
        return self._replace(
            pods=[pod for pod in self.pods if pod.name not in resting],
            resting=[pod for pod in self.pods if pod.name in resting],
        )

    @property
    def asleep(self) -> int:
        """Return how many replicas sleep and are to stay: of pods that are too many, those that are not ready go."""
        excess = max(0, len(self.pods) + len(self.resting) - self.replicas)
        return max(0, len(self.resting) - excess)

    @property
    def awake(self) -> int:
        """Return how many replicas there should be that do not sleep."""
        return self.replicas - self.asleep

    @property
    def ready(self) -> int:
        """Return how many pods take requests and are to stay."""
        return min(self.awake, self._all_ready)

    @property
    def starting(self) -> int:
        """Return how many pods were ordered and are not ready, whether they exist or not."""
        return self.awake - self.ready

    @property
    def leaving(self) -> int:
        """Return how many pods are being deleted or about to be, as the target has more than it should."""
        return self.draining + self._all_ready - self.ready

    @property
    def _all_ready(self) -> int:
        return sum(pod.is_ready for pod in self.pods)


class Targets:
    """The targets of one server.  Methods raise NoScale, and ApiError; NotFound where there is no such object."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._scales = Scales(client)
        self._own: dict[str, tuple[str, float]] = {}  # model and price that the objects with these uids name

    async def look(self, target: Target) -> Seen:
        """Return what there is; costs two calls, and one more for the model of an object that is new."""
        place = target.api_version, target.kind, target.name, target.namespace
        scale = await self._scales.read(*place)
        pods = await self._pods(target, scale.status.selector)
        alive = [pod for pod in pods if not pod.has_ended]
        staying = [scaled(pod) for pod in alive if pod.metadata.deletion_timestamp is None]
        model, cost = await self._model(target, scale.metadata, pods)
        return Seen(scale.spec.replicas, scale.status.replicas, staying, len(alive) - len(staying), model, cost)

    async def scale(self, target: Target, replicas: int) -> None:
        """Give the target so many replicas."""
        await self._scales.write(target.api_version, target.kind, target.name, target.namespace, replicas)

    async def _pods(self, target: Target, selector: str) -> list[Pod]:
        """Return the pods that count as replicas; none where the target does not say which they are."""
        if not selector:
            return []
        heads = HEADS.get(target.kind)
        labels = f"{selector},{heads}" if heads else selector
        pods, _ = await self._client.list(PODS, Selection(target.namespace, labels))
        return pods

    async def _model(self, target: Target, metadata: Metadata, pods: Sequence[Pod]) -> tuple[str, float]:
        """Return the model of a target as its pods say, or itself where it has none or they do not; and its price."""
        of_pods = next(filter(None, (model_of(pod.metadata) for pod in pods)), "")
        if not of_pods and metadata.uid not in self._own:
            self._own[metadata.uid] = await self._of_object(target)
        model, cost = self._own.get(metadata.uid, ("", inf))
        return of_pods or model, cost

    async def _of_object(self, target: Target) -> tuple[str, float]:
        """Return what the object itself names; nothing of kinds that this account may not read."""
        found = await self._scales.kind(target.api_version, target.kind)
        kind = Kind(found.group, found.version, found.name, found.plural, Object)
        try:
            metadata = (await self._client.get(kind, target.name, target.namespace)).metadata
        except Forbidden:
            return "", inf
        return model_of(metadata), cost_of(metadata.labels.get(GPU_COST, "")) or inf


def scaled(pod: Pod) -> ScaledPod:
    """Return a pod as observers look at it."""
    started = pod.status.start_time
    started_s = datetime.fromisoformat(started).timestamp() if started else None
    port = pod.metadata.labels.get(PORT, "")
    return ScaledPod(
        pod.metadata.name,
        pod.status.pod_ip,
        pod.is_ready,
        started_s,
        int(port) if port.isdecimal() else DEFAULT_PORT,
        pod.spec.sidecar_port,
    )
