"""The optimum of small planning problems by enumeration, in exact fractions and without any solver.

Numbers are taken as they are printed: 0.1 is one tenth.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

from optimizer.solver.case import MIGRATION_SHARE, Case


def exact(number: float) -> Fraction:
    """The number as it is printed."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def maximum(gains: Sequence[Fraction], rows: Sequence[Sequence[Fraction]], limits: Sequence[Fraction]) -> Fraction:
    """The most of gains x columns with rows x columns <= limits, all limits >= 0: the simplex method, Bland's rule."""
    count = len(gains)
    table = [[*row, *(Fraction(i == j) for j in range(len(rows))), limits[i]] for i, row in enumerate(rows)]
    objective = [-gain for gain in gains] + [Fraction(0)] * (len(rows) + 1)
    basis = [count + i for i in range(len(rows))]
    while (entering := next((j for j, cost in enumerate(objective[:-1]) if cost < 0), None)) is not None:
        candidates = [(row[-1] / row[entering], basis[i], i) for i, row in enumerate(table) if row[entering] > 0]
        leaving = min(candidates)[2]
        pivot = table[leaving][entering]
        table[leaving] = [value / pivot for value in table[leaving]]
        for row in [*(row for i, row in enumerate(table) if i != leaving), objective]:
            factor = row[entering]
            if factor:
                row[:] = [value - factor * of for value, of in zip(row, table[leaving], strict=True)]
        basis[leaving] = entering
    return objective[-1]


def served(case: Case, replicas: Sequence[int]) -> Fraction:
    """The most requests per second that the replicas serve."""
    pairs = [
        (g, bucket)
        for g, gpu in enumerate(case.types)
        for bucket, rate in enumerate(case.rates)
        if rate > 0 and gpu.throughput[bucket] > 0 and replicas[g]
    ]
    rates = [exact(rate) for rate in case.rates]
    shares = [[Fraction(b == bucket) for _, b in pairs] for bucket in range(len(rates))]
    loads = [
        [
            exact(case.headroom) * rates[b] / exact(case.types[g].throughput[b]) if g == of else Fraction(0)
            for g, b in pairs
        ]
        for of in range(len(case.types))
    ]
    limits = [Fraction(1)] * len(rates) + [Fraction(n) for n in replicas]
    return maximum([rates[b] for _, b in pairs], [*shares, *loads], limits) if pairs else Fraction(0)


def price(case: Case, replicas: Sequence[int]) -> Fraction:
    """Cost and migration."""
    total = Fraction(0)
    for g, (gpu, n) in enumerate(zip(case.types, replicas, strict=True)):
        moved = 0 if case.current is None else abs(n - case.current[g])
        total += exact(gpu.cost) * (n + exact(MIGRATION_SHARE) * moved)
    return total


def optimum(case: Case) -> tuple[Fraction, Fraction]:
    """The most requests per second that any plan serves, and the lowest price of serving so many."""
    ceilings = [
        max(gpu.lowest, min(_alone(case, g), _alone(case, g) if gpu.highest is None else gpu.highest))
        for g, gpu in enumerate(case.types)
    ]
    most = served(case, ceilings)
    ranges = (range(gpu.lowest, top + 1) for gpu, top in zip(case.types, ceilings, strict=True))
    for replicas in sorted(product(*ranges), key=lambda counts: price(case, counts)):
        if _could_serve(case, replicas) >= most and served(case, replicas) == most:
            return most, price(case, replicas)
    raise AssertionError("the ceilings serve the most")


def optimum_within_limits(case: Case) -> tuple[Fraction, ...] | None:
    """The most that any plan within all limits serves, then the cost of each later pool, the last first, and the price.

    None where no plan keeps all limits.  Limits have no weights below -1 and none between -1 and 0, or the ranges here
    could be too small.
    """
    extra = sum(_alone(case, g) + gpu.lowest for g, gpu in enumerate(case.types)) + 3
    ranges = []
    for g, gpu in enumerate(case.types):
        helps = any(limit.weights[g] < 0 for limit in case.limits)
        top = _alone(case, g) + (extra if helps else 0)
        ranges.append(range(gpu.lowest, max(gpu.lowest, top if gpu.highest is None else min(top, gpu.highest)) + 1))
    allowed = [replicas for replicas in product(*ranges) if _is_allowed(case, replicas)]
    most = Fraction(-1)
    for replicas in sorted(allowed, key=lambda counts: -_could_serve(case, counts)):
        if _could_serve(case, replicas) <= most:
            break
        most = max(most, served(case, replicas))
    for replicas in sorted(allowed, key=lambda counts: values(case, counts)):
        if _could_serve(case, replicas) >= most and served(case, replicas) == most:
            return most, *values(case, replicas)
    return None


def _is_allowed(case: Case, replicas: Sequence[int]) -> bool:
    return all(
        sum(exact(weight) * n for weight, n in zip(limit.weights, replicas, strict=True)) <= exact(limit.most)
        for limit in case.limits
    )


def values(case: Case, replicas: Sequence[int]) -> tuple[Fraction, ...]:
    """The cost of each pool but the first, the last first, and the price."""
    later = sorted({gpu.priority for gpu in case.types}, reverse=True)[:-1]
    costs = (
        sum(
            (exact(gpu.cost) * n for gpu, n in zip(case.types, replicas, strict=True) if gpu.priority == each),
            Fraction(0),
        )
        for each in later
    )
    return *costs, price(case, replicas)


def _alone(case: Case, g: int) -> int:
    """Replicas that carry all that the type can serve."""
    throughput = case.types[g].throughput
    loads = [exact(r) / exact(t) for r, t in zip(case.rates, throughput, strict=True) if t > 0 and r > 0]
    total = exact(case.headroom) * sum(loads, Fraction(0))
    return max(-(-total.numerator // total.denominator), 1) if loads else 0


def _could_serve(case: Case, replicas: Sequence[int]) -> Fraction:
    """A bound of what replicas serve that is quick to see: everything, or each what it carries of its best bucket."""
    best = (max(gpu.throughput, default=0.0) for gpu in case.types)
    capacity = sum((n * exact(t) for n, t in zip(replicas, best, strict=True)), Fraction(0))
    return min(capacity / exact(case.headroom), sum(map(exact, case.rates), Fraction(0)))
