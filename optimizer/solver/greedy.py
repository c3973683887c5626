"""Plans without a solver: each bucket to the type that carries it for the least, then replicas are dropped and swapped.

Used to begin with, and alone where HiGHS is missing or found nothing in time.  Never dearer than the best single type.
"""

from collections.abc import Iterator, Sequence
from math import fsum, inf

from optimizer.solver.case import Case, slack
from optimizer.solver.draft import Draft, draft_of

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
    return draft


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


def _filled(case: Case, choices: Choices, ceilings: Sequence[int], favourite: int | None = None) -> Draft:
    """Share each bucket to the first of its choices while there is room, the favourite before all."""
    room = [float(ceiling) for ceiling in ceilings]
    parts: dict[tuple[int, int], float] = {}
    for bucket, types in choices:
        left = 1.0
        for g in types if favourite not in types else (favourite, *(g for g in types if g != favourite)):
            load = case.loads[g][bucket]
            fits = left * load <= room[g] + slack(ceilings[g])  # or rounding would leave a trace that buys a replica
            share = (left if fits else room[g] / load) if room[g] > 0 else 0.0
            if share > 0:
                parts[g, bucket] = share
                room[g] -= share * load
                left -= share
            if left <= 0:
                break
    return draft_of(case, parts)


def _by_regret(case: Case) -> Choices:
    """Return buckets and their types, the cheapest first; buckets that lose most by their second choice come first."""

    def price(g: int, bucket: int) -> tuple[float, float]:
        return case.types[g].cost * case.loads[g][bucket], case.loads[g][bucket]

    choices = [(b, sorted(types, key=lambda g: price(g, b))) for b, types in case.carriers.items()]
    return sorted(choices, key=lambda choice: -_regret(*(price(g, choice[0]) for g in choice[1][:2])))


def _regret(first: tuple[float, float], second: tuple[float, float] | None = None) -> float:
    if second is None:
        return inf
    better, worse = (first, second) if first[0] > 0 else (first[::-1], second[::-1])
    return worse[0] / better[0] if better[0] > 0 else inf


def bound(case: Case) -> float:
    """Return a lower bound of the price of any plan: the least replicas, or the loads as if replicas were divisible."""
    fewest = fsum(gpu.cost * gpu.lowest for gpu in case.types)
    if any(gpu.highest is not None for gpu in case.types):
        return fewest
    cheapest = (min(case.types[g].cost * case.loads[g][b] for g in types) for b, types in case.carriers.items())
    return max(fewest, fsum(cheapest))
