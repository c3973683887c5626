"""The replicas of GPU types in virtual time: ordered, serving after a start-up time, drained, ended.

Lives here: the life of a replica, and what all have cost.  Not here: how many there should be (mix, autoscale_loop),
requests (replay).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum, inf

from forebay.local.mix.gpu_types import GpuType
from gateway.config.pools import PoolSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.discovery.models import pooled
from optimizer.planning.deployments import Deployment
from routing.types import Endpoint, PodId
from simulator.calibration.gpu_file import load_gpu
from simulator.core.engine import Engine
from simulator.core.gpus import GpuProfile
from simulator.replay.replay import MODEL, VirtualTime

HOUR_S = 3600.0


@dataclass(eq=False, slots=True)
class Replica:
    """One replica, from the order to its end."""

    gpu: GpuType
    endpoint: Endpoint
    ordered_s: float
    served_s: float = inf
    """The time from which it serves."""
    unwanted_s: float = inf
    """The time when it was let go of; it ends what it has."""
    ended_s: float = inf
    in_flight: int = 0

    @property
    def is_serving(self) -> bool:
        """Whether it takes requests, or did until it was let go of."""
        return self.served_s < inf

    @property
    def is_wanted(self) -> bool:
        """Whether it has not been let go of."""
        return self.unwanted_s == inf

    def paid_s(self, until_s: float) -> float:
        """Return the seconds from the order to the end, as far as they are before this time."""
        return max(0.0, min(self.ended_s, until_s) - self.ordered_s)


class ElasticFleet:
    """All replicas that there ever were.  `engines` has their engines, also of those that have ended."""

    def __init__(
        self, gpus: Sequence[GpuType], startup_s: float, time: VirtualTime,
        profiles: Mapping[GpuType, GpuProfile] | None = None, pools: Sequence[PoolSettings] = (),
    ) -> None:  # fmt: skip
        self.engines: dict[PodId, Engine] = {}
        self.gpus = gpus
        self._startup_s = startup_s
        self._time = time
        self._profiles = profiles or {gpu: load_gpu(gpu.gpu) for gpu in gpus}
        if len({profile.block_tokens for profile in self._profiles.values()}) > 1:
            raise ValueError("the GPU types of a mix must have one block size")
        self._pools = pools  # each of the type of its name
        self._replicas: dict[PodId, Replica] = {}
        self._changed = False

    def adjust(self, gpu: GpuType, replicas: int, now_s: float, startup_s: float | None = None) -> None:
        """Order replicas, or let go of the youngest, so that there will be so many."""
        there = list(self._wanted(gpu))
        for _ in range(len(there), replicas):
            replica = self._ordered(gpu, now_s)
            wait_s = self._startup_s if startup_s is None else startup_s
            if wait_s:
                self._time.set(now_s + wait_s, partial(self._serve, replica))
            else:
                self._serve(replica, now_s)
        for replica in there[replicas:]:
            replica.unwanted_s = now_s
            self._changed = self._changed or replica.is_serving
            self._end_if_idle(replica, now_s)

    def _ordered(self, gpu: GpuType, now_s: float) -> Replica:
        serial = len(self._replicas) + 1
        high, low = divmod(serial, 256)
        name = f"{gpu.deployment}-{serial}"
        # An address from the block for benchmarks (RFC 2544): no connection is made to it.
        endpoint = Endpoint(
            name, name, f"198.18.{high}.{low}:8000", (MODEL,), deployment=gpu.deployment, gpu_type=gpu.label,
            pool=gpu.gpu if self._pools else "",
        )  # fmt: skip
        replica = self._replicas[name] = Replica(gpu, endpoint, now_s)
        self.engines[name] = Engine(self._profiles[gpu])
        return replica

    def _serve(self, replica: Replica, now_s: float) -> None:
        if replica.is_wanted:
            replica.served_s, self._changed = now_s, True

    def _end_if_idle(self, replica: Replica, now_s: float) -> None:
        if not replica.is_wanted and not replica.in_flight:
            replica.ended_s = min(replica.ended_s, now_s)

    def take(self, pod: PodId) -> str:
        """Count a request that was sent to a pod; return the pod's deployment."""
        self._replicas[pod].in_flight += 1
        return self._replicas[pod].gpu.deployment

    def give_back(self, pod: PodId, now_s: float) -> None:
        """Count the end of a request; a replica that is not wanted ends with its last."""
        self._replicas[pod].in_flight -= 1
        self._end_if_idle(self._replicas[pod], now_s)

    def changed(self) -> FleetDescription | None:
        """Return what gateways discover, if that has changed since it was last asked for."""
        if not self._changed:
            return None
        self._changed = False
        serving = [each.endpoint for each in self._replicas.values() if each.is_serving and each.is_wanted]
        description = FleetDescription({MODEL: ModelPolicy()}, tuple(serving))
        return pooled(description, self._pools) if self._pools else description

    def deployments(self) -> tuple[Deployment, ...]:
        """Return the deployments as the optimizer sees them."""
        return tuple(self._deployment(gpu) for gpu in self.gpus)

    def _deployment(self, gpu: GpuType) -> Deployment:
        there = list(self._wanted(gpu))
        return Deployment(
            "default", gpu.deployment, MODEL, len(there), sum(each.is_serving for each in there), gpu.min_replicas,
            max_replicas=gpu.max_replicas, gpu=gpu.label, cost=gpu.cost,
        )  # fmt: skip

    def _wanted(self, gpu: GpuType) -> Iterator[Replica]:
        return (each for each in self._replicas.values() if each.gpu is gpu and each.is_wanted)

    def deployment_of(self, pod: PodId) -> str:
        """Return the deployment of a pod that there ever was."""
        return self._replicas[pod].gpu.deployment

    def paid(self, until_s: float) -> float:
        """Return the money that all replicas cost until then, those that start and drain too."""
        return fsum(each.gpu.cost * each.paid_s(until_s) / HOUR_S for each in self._replicas.values())

    def mean(self, until_s: float) -> Mapping[str, float]:
        """Return the mean number of replicas by deployment."""
        return {
            gpu.deployment: fsum(each.paid_s(until_s) for each in self._replicas.values() if each.gpu is gpu) / until_s
            for gpu in self.gpus
        }

    @property
    def replicas(self) -> Collection[Replica]:
        """All replicas that there ever were, in the order of their orders."""
        return self._replicas.values()

    @property
    def started(self) -> int:
        """How many replicas there ever were."""
        return len(self._replicas)
