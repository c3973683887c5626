"""A planning problem: GPU types, the requests per second to serve by bucket, and the price of a set of replicas.

A bucket is a class of requests of similar input and output length.  Its load on a GPU type is the number of replicas
that its requests would fill there (Griggs et al. 2024, arXiv 2404.14527, section 5: rate over maximal throughput).

Lives here: the problem and its arithmetic.  Not here: reading it from JSON (case_json), solving it (plan).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, fsum, inf

MIGRATION_SHARE = 0.15
"""Price of starting or stopping a replica, as a share of its cost for an hour, where `current` is known.  It halves the
number of changes over a day of noisy traffic for 0.4 % more cost; 0.5 gained nothing more (measured)."""

MOST_REPLICAS = 1e12
"""A GPU type that would need more replicas than this for one bucket cannot serve it: doubles count no further in
fractions of a replica that matter, and no such fleet exists (chosen)."""


KEPT = 1e-9
"""A limit may be exceeded by this share of its terms: what adding up leaves."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that types share: replicas times weights, added up over the types, are at most `most`."""

    name: str
    weights: tuple[float, ...]
    """By type; below 0 for types whose replicas let others have more."""
    most: float

    def excess(self, replicas: Sequence[int]) -> float:
        """Return by how much replicas exceed it; 0 or less where it is kept."""
        terms = [weight * n for weight, n in zip(self.weights, replicas, strict=True)]
        excess = fsum([*terms, -self.most])
        return excess if excess > KEPT * max(map(abs, [self.most, *terms])) else min(excess, 0.0)

    def told(self, used: float) -> str:
        """Return how much is used, and how much there is."""
        if self.most < 0:
            return f"{self.name}: {-used:.9g}, must be at least {-self.most:.9g}"
        return f"{self.name}: {used:.9g}, must be at most {self.most:.9g}"

    def room(self, replicas: Sequence[int], g: int) -> float:
        """Return how many replicas more a type may have beside these; infinite where it takes nothing of the limit."""
        if self.weights[g] <= 0:
            return inf
        room = max(0.0, -self.excess(replicas)) / self.weights[g]
        return floor(room + slack(room)) if room < MOST_REPLICAS else inf


@dataclass(frozen=True, slots=True)
class GpuType:
    """A kind of replica: a GPU type, or a deployment on one."""

    name: str
    cost: float
    """Money per replica and hour, >= 0."""
    throughput: tuple[float, ...]
    """Requests per second that one replica carries inside the SLO, by bucket; 0 = it cannot serve the bucket."""
    lowest: int = 0
    highest: int | None = None
    priority: int = 0
    """Rank of its pool: types with a lower number are used first, whatever they cost."""


@dataclass(frozen=True)
class Case:
    """A load, and the GPU types that could serve it."""

    types: tuple[GpuType, ...]
    rates: tuple[float, ...]
    """Requests per second by bucket."""
    headroom: float = 1.0
    """Planned for so many times the rates, >= 1."""
    current: tuple[int, ...] | None = None
    """Replicas by type that run now; changes then cost MIGRATION_SHARE.  None = changes are free."""
    time_limit_s: float = 2.0
    limits: tuple[Limit, ...] = ()

    @cached_property
    def loads(self) -> tuple[tuple[float, ...], ...]:
        """Replicas that each bucket fills, by type and bucket; infinite where the type cannot serve it."""
        return tuple(tuple(map(self._load, self.rates, gpu.throughput)) for gpu in self.types)

    def _load(self, rate: float, throughput: float) -> float:
        load = self.headroom * rate / throughput if throughput > 0 else inf
        return load if load <= MOST_REPLICAS else inf

    @cached_property
    def carriers(self) -> dict[int, tuple[int, ...]]:
        """The types that could serve each bucket, by bucket; buckets without requests or such types are left out."""
        capable = {
            bucket: tuple(
                g for g, gpu in enumerate(self.types) if self.loads[g][bucket] < inf and gpu.highest != 0
            )
            for bucket, rate in enumerate(self.rates)
            if rate > 0
        }  # fmt: skip
        return {bucket: types for bucket, types in capable.items() if types}

    @property
    def hopeless(self) -> tuple[float, ...]:
        """The share of each bucket that no type could serve at all: 0 or 1."""
        return tuple(0.0 if rate == 0 or bucket in self.carriers else 1.0 for bucket, rate in enumerate(self.rates))

    def is_capped(self, bucket: int) -> bool:
        """Whether every type that could serve a bucket may be too few."""
        return all(
            self.types[g].highest is not None or any(limit.weights[g] > 0 for limit in self.limits)
            for g in self.carriers[bucket]
        )

    @cached_property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """Fewest and most replicas by type: never more than its buckets together need, or than limits ask of it."""
        pairs = zip(self.types, self._most, self._asked, strict=True)
        return tuple(
            (gpu.lowest, max(most, asked) if gpu.highest is None else most) for gpu, most, asked in pairs
        )  # fmt: skip

    @cached_property
    def _most(self) -> tuple[int, ...]:
        """Replicas that all buckets need, or as many as there may be, by type."""
        lowest = [gpu.lowest for gpu in self.types]
        plain = [limit for limit in self.limits if all(weight >= 0 for weight in limit.weights)]
        most = []
        for g, (gpu, low) in enumerate(zip(self.types, lowest, strict=True)):
            wanted = max(low, ceil(self._all_load(g))) if gpu.highest is None else gpu.highest
            most.append(int(min([wanted, *(low + limit.room(lowest, g) for limit in plain)])))
        return tuple(most)

    @cached_property
    def _asked(self) -> tuple[int, ...]:
        """Replicas that a limit asks for, so that others may have their most, by type."""
        asked = [0] * len(self.types)
        for limit in self.limits:
            takers = [n if weight > 0 else 0 for n, weight in zip(self._most, limit.weights, strict=True)]
            for g, weight in enumerate(limit.weights):
                if weight < 0:
                    asked[g] = max(asked[g], ceil(min(limit.excess(takers) / -weight, MOST_REPLICAS)))
        return tuple(asked)

    def _all_load(self, g: int) -> float:
        """Replicas that all buckets of the type would fill, and one for those whose load is next to nothing."""
        loads = [self.loads[g][bucket] for bucket, types in self.carriers.items() if g in types]
        return max(fsum(loads), 1.0) if loads else 0.0

    @cached_property
    def tiers(self) -> tuple[tuple[int, tuple[float, ...]], ...]:
        """Costs that are least before the price: of each pool but the first, by priority and type, the last first.

        A type that costs nothing counts as the cheapest that does.
        """
        least = min((gpu.cost for gpu in self.types if gpu.cost > 0), default=1.0)
        later = sorted({gpu.priority for gpu in self.types}, reverse=True)[:-1]
        return tuple(
            (priority, tuple((gpu.cost or least) if gpu.priority == priority else 0.0 for gpu in self.types))
            for priority in later
        )

    def allows(self, replicas: Sequence[int]) -> bool:
        """Whether replicas keep all limits."""
        return all(limit.excess(replicas) <= 0 for limit in self.limits)

    def values(self, replicas: Sequence[int]) -> tuple[float, ...]:
        """Return what a plan minimises, the first before the next: the cost of later pools, then the price."""
        costs = (fsum(w * n for w, n in zip(weights, replicas, strict=True)) for _, weights in self.tiers)
        return (*costs, self.price(replicas))

    def cost(self, replicas: Sequence[int]) -> float:
        """Return the money per hour that replicas by type cost."""
        return fsum(gpu.cost * n for gpu, n in zip(self.types, replicas, strict=True))

    def migration(self, replicas: Sequence[int]) -> float:
        """Return the price of getting there from what runs now; 0 where that is not known."""
        if self.current is None:
            return 0.0
        changes = zip(replicas, self.current, strict=True)
        return fsum(self.migration_price(g) * abs(to - since) for g, (to, since) in enumerate(changes))

    def migration_price(self, g: int) -> float:
        """Return the price of starting or stopping one replica of a type."""
        return MIGRATION_SHARE * self.types[g].cost

    def price(self, replicas: Sequence[int]) -> float:
        """Return what a plan minimises: cost and migration."""
        return self.cost(replicas) + self.migration(replicas)

    def lost(self, unserved: Sequence[float]) -> float:
        """Return the requests per second that are not served, from the unserved share of each bucket."""
        return fsum(rate * share for rate, share in zip(self.rates, unserved, strict=True))


def slack(replicas: float) -> float:
    """Return by how much a load may exceed so many replicas: what floating point and a solver leave.

    1e-9 of the load, but never a noticeable part of one replica; for very many of them the precision of doubles.
    """
    return min(1e-9 * replicas, 1e-7) + 1e-14 * replicas


def replicas_for(load: float) -> int:
    """Return the fewest replicas that carry a load."""
    return ceil(load - slack(load))
