"""Verifies a plan from the plan and the case alone, with nothing of what solved it.

Tolerances are relative to what is compared, so that no bucket is too small to be missed and no load too large to fit.
"""

from collections.abc import Iterator, Sequence
from math import fsum, inf, isclose, isfinite

from optimizer.solver.case import MOST_REPLICAS, Case, slack

SHARE_TOLERANCE = 1e-9
SPARE = 10
"""Capacity below so many times `slack` counts as used up."""


def problems_of(
    case: Case,
    replicas: Sequence[int],
    shares: Sequence[Sequence[float]],
    unserved: Sequence[float],
    cost: float,
) -> Iterator[str]:
    """Yield each violation in one line: counts, shares, capacity, what is lost without need, the cost."""
    loads: list[float] = []
    for gpu, count, row in zip(case.types, replicas, shares, strict=True):
        most = count if gpu.highest is None else gpu.highest
        if not gpu.lowest <= count <= most:
            yield f"{gpu.name}: {count} replicas, must be {gpu.lowest} to {most}"
        for bucket, share in enumerate(row):
            if not 0 <= share <= 1 + SHARE_TOLERANCE:
                yield f"{gpu.name}: share {share} of bucket {bucket}, must be 0 to 1"
            if share > 0 and (count == 0 or gpu.throughput[bucket] == 0):
                yield f"{gpu.name}: has a share of bucket {bucket} and cannot serve it"
        used = [(case.rates[b], share, gpu.throughput[b]) for b, share in enumerate(row) if gpu.throughput[b] > 0]
        loads.append(fsum(case.headroom * rate / throughput * share for rate, share, throughput in used if share > 0))
        if not loads[-1] <= count + slack(count):
            yield f"{gpu.name}: {count} replicas are to carry the load of {loads[-1]}"
    for bucket, rate in enumerate(case.rates):
        total = fsum([*(row[bucket] for row in shares), unserved[bucket]])
        if rate > 0 and not isclose(total, 1.0, rel_tol=SHARE_TOLERANCE):
            yield f"bucket {bucket}: its shares are {total}, must be 1"
    yield from _lost_without_need(case, loads, unserved)
    expected = fsum(gpu.cost * count for gpu, count in zip(case.types, replicas, strict=True))
    if not isfinite(cost) or not isclose(cost, expected, rel_tol=1e-12):
        yield f"cost = {cost}, the replicas cost {expected}"


def _lost_without_need(case: Case, loads: Sequence[float], unserved: Sequence[float]) -> Iterator[str]:
    """Yield each unserved bucket that a type could serve within its bounds."""
    for bucket, share in enumerate(unserved):
        if not -SHARE_TOLERANCE <= share <= 1 + SHARE_TOLERANCE:
            yield f"bucket {bucket}: unserved = {share}, must be 0 to 1"
        if not share > SHARE_TOLERANCE:
            continue
        for gpu, load in zip(case.types, loads, strict=True):
            throughput, most = gpu.throughput[bucket], inf if gpu.highest is None else gpu.highest
            serves = throughput > 0 and case.headroom * case.rates[bucket] / throughput <= MOST_REPLICAS
            if serves and most > 0 and (most == inf or most - load > SPARE * slack(most)):
                yield f"bucket {bucket}: {share} of it is unserved, {gpu.name} could serve it"
