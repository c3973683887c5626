"""Strategy HPA: a HorizontalPodAutoscaler is kept as the autoscaler asks for, and its status is the autoscaler's.

Lives here: the calls.  Not here: what is in the object (hpas).
"""

from collections.abc import Callable

from autoscaling.bounds import bounds_at
from autoscaling.spec import Spec
from controllers.owned import MANAGED_BY, US, settle
from controllers.podautoscaler.conditions import ABLE, ACTIVE, Said
from controllers.podautoscaler.hpas import HPAS, Hpa, hpa_name, hpa_of, mirrored
from controllers.podautoscaler.scaler import Step, scheduled
from kube.client import Client
from kube.errors import AlreadyExists, ApiError, Unreachable
from kube.informer import Informer
from kube.objects import Metadata

MIRROR_S = 15.0
"""How often a HorizontalPodAutoscaler is looked at although it did not change: its controller's own pace."""
LOOK_AGAIN_S = 1.0
"""How soon one is looked at again that was just made."""


class Mirror:
    """The HorizontalPodAutoscalers of all autoscalers with strategy HPA.  Methods raise ApiError."""

    def __init__(self, client: Client, hpas: Informer[Hpa], wall: Callable[[], float]) -> None:
        self._client = client
        self._hpas = hpas
        self._wall = wall

    async def step(self, autoscaler: Metadata, spec: Spec) -> Step:
        """Make or mend the object; return what it says."""
        now_s = self._wall()
        found, wanted = self._found(autoscaler), hpa_of(autoscaler, spec, bounds_at(spec, now_s))
        try:
            await settle(self._client, HPAS, wanted, found)
        except AlreadyExists:
            why = f"HorizontalPodAutoscaler {wanted.name} is left alone: it has no label {MANAGED_BY}={US}"
            return Step(MIRROR_S, {ABLE: Said("False", "NotOurs", why)})
        except Unreachable:
            raise
        except ApiError as error:
            return Step(MIRROR_S, {ABLE: Said("False", "FailedUpdateScale", f"{wanted.name}: {error}")})
        if found is None:
            return Step(LOOK_AGAIN_S, {ACTIVE: Said("Unknown", "NotLookedAt", f"{wanted.name} was just made")})
        status = found.status
        step = Step(MIRROR_S, mirrored(found), status.current_replicas, status.desired_replicas)
        return step._replace(scaled_at=status.last_scale_time, bounds=scheduled(spec, now_s))

    async def remove(self, autoscaler: Metadata) -> None:
        """Delete the object, where there is one of ours: another strategy, or another autoscaler, scales the target."""
        await settle(self._client, HPAS, None, self._found(autoscaler))

    def _found(self, autoscaler: Metadata) -> Hpa | None:
        return self._hpas.objects.get(f"{autoscaler.namespace}/{hpa_name(autoscaler)}")
