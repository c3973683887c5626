"""A candidate plan: replicas and shares, before it is priced and verified."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from optimizer.solver.case import Case, replicas_for

SAME = 1e-9
"""Losses that differ by a smaller part are equal."""
ROUNDING = 1e-12
"""Shares below this are what adding up leaves."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Replicas by type, shares by type and bucket, and the share of each bucket that nobody serves."""

    replicas: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    unserved: tuple[float, ...]

    def is_better(self, than: "Draft", case: Case) -> bool:
        """Whether it serves more, or as much with less of later pools, or with as much of them for less."""
        mine = (case.lost(self.unserved), *case.values(self.replicas))
        others = (case.lost(than.unserved), *case.values(than.replicas))
        for value, other in zip(mine[:-1], others[:-1], strict=True):
            if abs(value - other) > SAME * max(value, other):
                return value < other
        return mine[-1] < others[-1]


def loads_of(case: Case, shares: Sequence[Sequence[float]]) -> list[float]:
    """Return the replicas that the shares fill, by type."""
    return [
        fsum(load * share for load, share in zip(loads, row, strict=True) if share > 0)
        for loads, row in zip(case.loads, shares, strict=True)
    ]


def draft_of(case: Case, parts: Mapping[tuple[int, int], float], replicas: Sequence[int] | None = None) -> Draft:
    """Return the draft whose shares by (type, bucket) are given, with the fewest replicas that carry them.

    Given `replicas` are kept as they are.  A bucket without requests is shared to the type that would carry it for the
    least, of those that have replicas.
    """
    rows = [[0.0] * len(case.rates) for _ in case.types]
    for (g, bucket), share in parts.items():
        rows[g][bucket] = share
    if replicas is None:
        counts = zip(case.bounds, loads_of(case, rows), rows, strict=True)
        replicas = [max(bounds[0], replicas_for(load), int(any(row))) for bounds, load, row in counts]
    for bucket, rate in enumerate(case.rates):
        awake = [g for g, gpu in enumerate(case.types) if rate == 0 and replicas[g] and gpu.throughput[bucket] > 0]
        if awake:
            rows[min(awake, key=lambda g: case.types[g].cost / case.types[g].throughput[bucket])][bucket] = 1.0
    columns = zip(*rows, strict=True) if rows else ((),) * len(case.rates)
    unserved = tuple(
        max(0.0, 1.0 - fsum(column)) if rate > 0 else 0.0 for rate, column in zip(case.rates, columns, strict=True)
    )
    return Draft(tuple(replicas), tuple(map(tuple, rows)), tuple(u if u > ROUNDING else 0.0 for u in unserved))
