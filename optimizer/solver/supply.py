"""A supply: the GPUs, the money and the spot instances that there are for all types together, as limits on replicas.

Capacity is counted in requests per second: what a replica carries of its model's mix of requests, less the time that a
spot replica is away.  So a share of the capacity means the same whatever the GPU types.

Lives here: from a supply to limits.  Not here: what a limit is (case), reading (case_json).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum

from optimizer.solver.case import Case, GpuType, Limit


@dataclass(frozen=True, slots=True)
class Place:
    """A type's GPUs, pool and kind of instances, as far as a supply asks for it."""

    gpu: str = ""
    gpus: int = 1
    """GPUs of a replica."""
    pool: str = ""
    is_spot: bool = False
    preemption: float = 0.0
    """Part of the time that a spot replica is away, [0, 1)."""
    domain: str = ""
    """Failure domain, as a zone: its spot replicas may all go at once."""

    def lasting(self, throughput: Sequence[float]) -> tuple[float, ...]:
        """Return the throughput that is left for planning."""
        return tuple(value * (1 - self.preemption) for value in throughput)


Load = tuple[Case, Sequence[Place]]
"""A case, and the places of its types."""


@dataclass(frozen=True, slots=True)
class Supply:
    """GPUs, money and instances; those that are not named have no limit."""

    gpus: Mapping[str, int] = field(default_factory=dict)
    """By GPU type, in all pools together."""
    pool_gpus: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By pool and GPU type."""
    budget: float | None = None
    """Money per hour."""
    spot_share: float | None = None
    """Largest part of the capacity on spot instances, [0, 1]."""
    domain_share: float | None = None
    """Largest part of the capacity on spot instances of any one failure domain, [0, 1]."""
    on_demand_min: int = 0
    """Fewest replicas that are not on spot instances."""

    def less(self, taken: Sequence[tuple[Place, int]], cost: float = 0.0) -> "Supply":
        """Return what is left beside so many replicas at these places, which cost so much; shares stay as they are."""

        def left(most: int, gpu: str, pool: str | None = None) -> int:
            used = (p.gpus * n for p, n in taken if p.gpu == gpu and pool in (None, p.pool))
            return max(0, most - sum(used))

        return replace(
            self,
            gpus={gpu: left(most, gpu) for gpu, most in self.gpus.items()},
            pool_gpus={
                pool: {gpu: left(most, gpu, pool) for gpu, most in gpus.items()}
                for pool, gpus in self.pool_gpus.items()
            },
            budget=None if self.budget is None else max(0.0, self.budget - cost),
            on_demand_min=max(0, self.on_demand_min - sum(n for place, n in taken if not place.is_spot)),
        )

    def limits(self, loads: Sequence[Load]) -> tuple[Limit, ...]:
        """Return the limits on the types of all loads, one load's after the other's."""
        types = [gpu for case, _ in loads for gpu in case.types]
        places = [place for _, placed in loads for place in placed]
        limits = [
            *self._inventories(places),
            *self._shares(places, [n for case, _ in loads for n in _capacities(case)]),
        ]
        if self.budget is not None:
            limits.append(Limit("budget", tuple(gpu.cost for gpu in types), self.budget))
        if self.on_demand_min:
            floor = tuple(0.0 if place.is_spot else -1.0 for place in places)
            limits.append(Limit("on_demand_min", floor, -float(self.on_demand_min)))
        return tuple(limits)

    def _inventories(self, places: Sequence[Place]) -> list[Limit]:
        asked: list[tuple[str, str | None, str, int]] = [
            (f"inventory.{gpu}", None, gpu, most) for gpu, most in self.gpus.items()
        ]
        asked += [
            (f"pools.{pool}.inventory.{gpu}", pool, gpu, most)
            for pool, gpus in self.pool_gpus.items()
            for gpu, most in gpus.items()
        ]
        return [
            Limit(
                name,
                tuple(place.gpus * float(place.gpu == gpu and pool in (None, place.pool)) for place in places),
                float(most),
            )
            for name, pool, gpu, most in asked
        ]

    def _shares(self, places: Sequence[Place], capacities: Sequence[float]) -> list[Limit]:
        domains = sorted({place.domain for place in places if place.is_spot})
        asked = [("spot_share", self.spot_share, domains)]
        asked += [(f"spot_share_per_domain {name!r}", self.domain_share, [name]) for name in domains]
        return [
            Limit(
                name,
                tuple(
                    capacity * ((place.is_spot and place.domain in within) - share)
                    for place, capacity in zip(places, capacities, strict=True)
                ),
                0.0,
            )
            for name, share, within in asked
            if share is not None and domains
        ]


def _capacities(case: Case) -> list[float]:
    """Return the requests per second that a replica of each type carries of the case's mix, as far as it can."""
    return [_capacity(gpu, case.rates) for gpu in case.types]


def _capacity(gpu: GpuType, rates: Sequence[float]) -> float:
    pairs = [(rate, throughput) for rate, throughput in zip(rates, gpu.throughput, strict=True) if rate and throughput]
    load = fsum(rate / throughput for rate, throughput in pairs)
    return fsum(rate for rate, _ in pairs) / load if load > 0 else 0.0
