"""Verifies a plan from the plan and the case alone, with nothing of what solved it.

Tolerances are relative to what is compared, so that no bucket is too small to be missed and no load too large to fit.
"""

from collections.abc import Iterator, Sequence
from math import fsum, inf, isclose, isfinite

from optimizer.solver.case import MOST_REPLICAS, Case, Limit, slack

SHARE_TOLERANCE = 1e-9
SPARE = 10
"""Capacity below so many times `slack` counts as used up."""


def problems_of(
    case: Case,
    replicas: Sequence[int],
    shares: Sequence[Sequence[float]],
    unserved: Sequence[float],
    cost: float,
    *,
    gap: float = 0.0,
) -> Iterator[str]:
    """Yield each violation in one line: counts, limits, shares, capacity, what is lost without need, the cost.

    With a gap of 0, which claims an optimum, replicas of later pools that earlier ones could replace are one too.
    """
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
    for limit in case.limits:
        if _is_broken(limit, replicas):
            yield limit.told(_used(limit, replicas))
    yield from _lost_without_need(case, replicas, loads, unserved)
    if gap == 0:
        yield from _away_without_need(case, replicas, shares, loads)
    expected = fsum(gpu.cost * count for gpu, count in zip(case.types, replicas, strict=True))
    if not isfinite(cost) or not isclose(cost, expected, rel_tol=1e-12):
        yield f"cost = {cost}, the replicas cost {expected}"


def _used(limit: Limit, replicas: Sequence[int]) -> float:
    return fsum(weight * count for weight, count in zip(limit.weights, replicas, strict=True))


def _is_broken(limit: Limit, replicas: Sequence[int]) -> bool:
    """Whether more is used than there is, by more than adding up may leave."""
    largest = max((abs(weight) * count for weight, count in zip(limit.weights, replicas, strict=True)), default=0.0)
    return not _used(limit, replicas) - limit.most <= SHARE_TOLERANCE * max(abs(limit.most), largest)


def _can_have(case: Case, replicas: Sequence[int], g: int) -> int:
    """Return the replicas of a type, and one more if it may have one beside the others."""
    more = [count + (of == g) for of, count in enumerate(replicas)]
    highest = case.types[g].highest
    is_full = (highest is not None and replicas[g] >= highest) or any(_is_broken(limit, more) for limit in case.limits)
    return replicas[g] if is_full else more[g]


def _lost_without_need(
    case: Case, replicas: Sequence[int], loads: Sequence[float], unserved: Sequence[float]
) -> Iterator[str]:
    """Yield each unserved bucket that a type could serve, with one replica more at most."""
    for bucket, share in enumerate(unserved):
        if not -SHARE_TOLERANCE <= share <= 1 + SHARE_TOLERANCE:
            yield f"bucket {bucket}: unserved = {share}, must be 0 to 1"
        if not share > SHARE_TOLERANCE:
            continue
        for g, (gpu, load) in enumerate(zip(case.types, loads, strict=True)):
            serves = _load(case, g, bucket) <= MOST_REPLICAS
            most = _can_have(case, replicas, g) if serves else 0
            if most > 0 and most - load > SPARE * slack(most):
                yield f"bucket {bucket}: {share} of it is unserved, {gpu.name} could serve it"


def _away_without_need(
    case: Case, replicas: Sequence[int], shares: Sequence[Sequence[float]], loads: Sequence[float]
) -> Iterator[str]:
    """Yield each replica of a later pool whose load a type of an earlier one could carry."""
    for g, gpu in enumerate(case.types):
        fewer = [count - (of == g) for of, count in enumerate(replicas)]
        if fewer[g] < gpu.lowest or any(_is_broken(limit, fewer) for limit in case.limits):
            continue
        for home, other in enumerate(case.types):
            if other.priority < gpu.priority:
                room = _can_have(case, fewer, home) - loads[home]
                if _load_moved(case, g, home, shares[g], loads[g] - fewer[g]) < room - SPARE * slack(
                    replicas[home] + 1
                ):
                    yield f"{gpu.name}: a replica less would do, {other.name} of an earlier pool could carry its load"


def _load_moved(case: Case, g: int, to: int, shares: Sequence[float], load: float) -> float:
    """Return the least load on a type that takes so much of another's; infinite where it cannot."""
    pairs = [(_load(case, to, b) * share, _load(case, g, b) * share) for b, share in enumerate(shares) if share > 0]
    moved = 0.0
    for new, old in sorted((pair for pair in pairs if 0 < pair[1] < inf), key=lambda pair: pair[0] / pair[1]):
        part = min(1.0, load / old)
        if part > 0:
            moved, load = moved + part * new, load - part * old
    return moved if load <= SPARE * slack(load) else inf


def _load(case: Case, g: int, bucket: int) -> float:
    """Return the replicas that a bucket fills; infinite where the type cannot serve it."""
    throughput = case.types[g].throughput[bucket]
    return case.headroom * case.rates[bucket] / throughput if throughput > 0 else inf
