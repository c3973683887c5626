"""A deployment: replicas of a model on one GPU type, which the optimizer counts out and others start and stop.

Lives here: the value, and what a supply has left beside some.  Not here: where deployments are found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from optimizer.solver.supply import Place, Supply


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as it is wanted and as it is."""

    namespace: str
    name: str
    model: str
    replicas: int
    """Replicas that it is asked to have now."""
    ready: int
    """Replicas that can serve now."""
    min_replicas: int = 0
    """Replicas while there is no load at all; with load it counts only where `is_min_always`."""
    is_min_always: bool = False
    max_replicas: int | None = None
    gpu: str = ""
    pool: str = ""
    pool_priority: int = 0
    """Pools with a lower number are used first."""
    is_spot: bool = False
    cost: float | None = None
    """Money per replica and hour; None = as its profile says."""
    profile: str = ""
    """A file with its profile, or the name of a bundled one; empty = by its name."""

    gpus_per_replica: int = 1
    preemption: float = 0.0
    """Part of the time that a spot replica is away, [0, 1)."""
    domain: str = ""
    """Failure domain of spot replicas."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def place(self) -> Place:
        """The place of a replica, as a supply asks for it."""
        return Place(self.gpu, self.gpus_per_replica, self.pool, self.is_spot, self.preemption, self.domain)


def left_beside(supply: Supply, deployments: Sequence[Deployment]) -> Supply:
    """Return what is left of a supply beside what these deployments are asked to have."""
    cost = fsum((each.cost or 0.0) * each.replicas for each in deployments)
    return supply.less([(each.place, each.replicas) for each in deployments], cost)
