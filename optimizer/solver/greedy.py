"""Plans without a solver: each bucket to the type that carries it for the least, then replicas are dropped and swapped.

Types of earlier pools come first, and a replica is only added where all limits allow it.
Used to begin with, and alone where HiGHS is missing or found nothing in time.  Never dearer than the best single type.
"""

from collections.abc import Iterator, Sequence
from math import ceil, fsum, inf

from optimizer.solver.case import MOST_REPLICAS, Case, replicas_for, slack
from optimizer.solver.draft import ROUNDING, Draft, draft_of, loads_of

TRIES = 200
"""Changes that are tried at most."""

Choices = list[tuple[int, list[int]]]
"""Buckets and the types that can serve them, best first."""


def first_draft(case: Case) -> Draft:
    """Return the best of: every bucket to the type that carries it for the least; as much as possible to one type."""
    choices, ceilings = _by_regret(case), [high for _, high in case.bounds]
    best = _filled(case, choices, ceilings)
    for g in range(len(case.types)):
        draft = _filled(case, choices, ceilings, favourite=g)
        best = draft if draft.is_better(best, case) else best
    return best


def improve(case: Case, draft: Draft) -> Draft:
    """Return a draft that no tried change betters."""
    choices, tries, changed = _by_regret(case), TRIES, True
    while changed and tries > 0:
        changed = False
        for replicas in _changes(case, draft.replicas):
            tries -= 1
            candidate = _filled(case, choices, replicas)
            if candidate.is_better(draft, case):
                draft, changed = candidate, True
                break
            if tries <= 0:
                break
    whole = completed(case, draft)  # a change holds all other types down, and may have made room for them
    return whole if whole.is_better(draft, case) else draft


def _changes(case: Case, replicas: Sequence[int]) -> Iterator[list[int]]:
    """Yield the replicas less one of a type, dearest first; then with some of a type swapped for one of another."""
    order = sorted(range(len(replicas)), key=lambda g: -case.types[g].cost)
    droppable = [g for g in order if replicas[g] > case.bounds[g][0]]
    for g in droppable:
        yield [n - (of == g) for of, n in enumerate(replicas)]
    for g in droppable:
        for to in order:
            worth = case.types[to].cost / case.types[g].cost if case.types[g].cost > 0 else inf
            fewer = int(worth) + 1 if worth < replicas[g] else replicas[g]
            if to != g and replicas[to] < case.bounds[to][1] and replicas[g] - fewer >= case.bounds[g][0]:
                yield [n - fewer * (of == g) + (of == to) for of, n in enumerate(replicas)]


def completed(case: Case, draft: Draft) -> Draft:
    """Return the draft with what can be served of the rest, and the replicas for it."""
    return _filled(case, _by_regret(case), [high for _, high in case.bounds], since=draft)


def _filled(
    case: Case, choices: Choices, ceilings: Sequence[int], favourite: int | None = None, since: Draft | None = None
) -> Draft:
    """Share each bucket to the first of its choices while there is room, the favourite first in its pool.

    Where a replica may make room for others within a limit, it is tried again while that helps.
    """
    replicas = list(since.replicas) if since else _fewest(case)
    parts = {(g, b): since.shares[g][b] if since else 0.0 for b, types in choices for g in types}
    loads = loads_of(case, since.shares) if since else [0.0] * len(replicas)
    left, helped = {b: since.unserved[b] if since else 1.0 for b, _ in choices}, True
    makes_room = any(weight < 0 for limit in case.limits for weight in limit.weights)
    while helped:
        helped, full = False, set[int]()
        for bucket, types in choices:
            for g in _favoured(case, types, favourite):
                if left[bucket] <= 0:
                    break
                load = case.loads[g][bucket]
                wanted = loads[g] + left[bucket] * load
                needed = max(1, replicas_for(wanted))
                if needed > replicas[g] and g not in full:
                    _add(case, replicas, g, min(ceilings[g], needed))
                    full |= {g} if replicas[g] < needed else set()
                fits = wanted <= replicas[g] + slack(replicas[g])  # or rounding leaves a trace that buys a replica
                room = replicas[g] - loads[g]
                is_full = replicas[g] == 0 or (room <= slack(replicas[g]) and not fits)
                share = 0.0 if is_full else left[bucket] if fits else room / load
                if share > ROUNDING:
                    parts[g, bucket] += share
                    loads[g] += share * load
                    left[bucket] -= share
                    helped = makes_room
    return draft_of(case, parts, replicas if case.limits else None)


def _favoured(case: Case, types: list[int], favourite: int | None) -> list[int]:
    """Return the types with the favourite before the others of its pool."""
    if favourite not in types:
        return types
    return sorted(types, key=lambda g: (case.types[g].priority, g != favourite))


def _add(case: Case, replicas: list[int], g: int, to: int) -> None:
    """Raise the replicas of a type as far as the limits allow."""
    room = min((limit.room(replicas, g) for limit in case.limits), default=inf)
    replicas[g] = max(replicas[g], int(min(to, replicas[g] + room)))


def _fewest(case: Case) -> list[int]:
    """Return the fewest replicas of each type, and the cheapest more that limits ask for."""
    replicas = [low for low, _ in case.bounds]
    for limit in case.limits:
        helpful = [g for g, weight in enumerate(limit.weights) if weight < 0]
        for g in sorted(helpful, key=lambda g: (case.types[g].priority, case.types[g].cost / -limit.weights[g])):
            wanted = ceil(min(limit.excess(replicas) / -limit.weights[g], MOST_REPLICAS))
            if wanted > 0:
                _add(case, replicas, g, min(case.bounds[g][1], replicas[g] + wanted))
    return replicas


def _by_regret(case: Case) -> Choices:
    """Return buckets and their types, the cheapest first; buckets that lose most by their second choice come first."""

    def price(g: int, bucket: int) -> tuple[float, float]:
        return case.types[g].cost * case.loads[g][bucket], case.loads[g][bucket]

    def rank(g: int, bucket: int) -> tuple[int, float, float]:
        return (case.types[g].priority, *price(g, bucket))

    choices = [(b, sorted(types, key=lambda g: rank(g, b))) for b, types in case.carriers.items()]
    return sorted(choices, key=lambda choice: -_regret(*(price(g, choice[0]) for g in choice[1][:2])))


def _regret(first: tuple[float, float], second: tuple[float, float] | None = None) -> float:
    if second is None:
        return inf
    better, worse = (first, second) if first[0] > 0 else (first[::-1], second[::-1])
    return worse[0] / better[0] if better[0] > 0 else inf


def bound(case: Case) -> float:
    """Return a lower bound of the price of any plan: the least replicas, or the loads as if replicas were divisible."""
    fewest = fsum(gpu.cost * gpu.lowest for gpu in case.types)
    if case.limits or any(gpu.highest is not None for gpu in case.types):
        return fewest
    cheapest = (min(case.types[g].cost * case.loads[g][b] for g in types) for b, types in case.carriers.items())
    return max(fewest, fsum(cheapest))


def bounds(case: Case) -> tuple[float, ...]:
    """Return lower bounds of what any plan loses, in requests per second, and of its `Case.values`."""
    lowest = [gpu.lowest for gpu in case.types]
    tiers = (fsum(weight * n for weight, n in zip(weights, lowest, strict=True)) for _, weights in case.tiers)
    return (case.lost(case.hopeless), *tiers, bound(case))
