"""The optimum in spite of the solver's tolerance: a search over boxes of replicas, each solved as an integer program.

HiGHS takes 2 replicas for a load of 2.0000001.  Replicas that do not carry the traffic by the exact shares are excluded
by splitting the box they were found in: in each part some type has at least one replica more.  Most often there is one
box and one program.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from math import inf

from optimizer.case import Case
from optimizer.solver.draft import Draft
from optimizer.solver.linear import Budget
from optimizer.solver.mix import TOLERANCE, Box, Mix, best_mix
from optimizer.solver.shares import fitted


def cheapest(case: Case, unserved: Sequence[float], first: Draft, budget: Budget) -> tuple[Draft, float] | None:
    """Return the cheapest draft that loses no more than given, and a lower bound of the price of any.

    At the end of the budget it is the best so far; None when none was found.
    """
    lost, best, open_bound = case.lost(unserved), None, inf
    boxes: list[tuple[float, int, Box, Mix]] = []
    _push(boxes, case.bounds, best_mix(case, case.bounds, unserved, first, budget))
    while boxes:
        bound, _, box, mix = heappop(boxes)
        if best and bound >= case.price(best.replicas) * (1 - TOLERANCE):
            break
        draft = fitted(case, mix.replicas, lost)
        if draft is None and best is None:
            best = _one_more(case, mix.replicas, lost)
        if draft:
            best = draft if best is None or draft.is_better(best, case) else best
            open_bound = min(open_bound, bound)
        elif budget.left_s <= 0:
            open_bound = min(open_bound, bound, *(left for left, *_ in boxes))
            break
        else:
            for part in _parts(box, mix.replicas):
                _push(boxes, part, best_mix(case, part, unserved, first, budget))
    return None if best is None else (best, min(open_bound, case.price(best.replicas)))


def _one_more(case: Case, replicas: Sequence[int], lost: float) -> Draft | None:
    """Return the cheapest draft with one replica more of some type, to know a price that need not be exceeded."""
    for of in sorted(range(len(replicas)), key=lambda g: case.types[g].cost):
        more = [n + (g == of) for g, n in enumerate(replicas)]
        draft = fitted(case, more, lost) if more[of] <= case.bounds[of][1] else None
        if draft:
            return draft
    return None


def _push(boxes: list[tuple[float, int, Box, Mix]], box: Box, mix: Mix | None) -> None:
    if mix:
        heappush(boxes, (mix.bound, len(boxes), box, mix))


def _parts(box: Box, replicas: Sequence[int]) -> Iterator[Box]:
    """Yield parts of a box that together hold all of it but what is no more than the given replicas in every type."""
    for of, (_, most) in enumerate(box):
        if replicas[of] < most:
            yield tuple(
                (replicas[g] + 1, high) if g == of else (low, min(high, replicas[g])) if g < of else (low, high)
                for g, (low, high) in enumerate(box)
            )
