"""The optimum in spite of the solver's tolerance: a search over boxes of replicas, each solved as an integer program.

HiGHS takes 2 replicas for a load of 2.0000001, and 3 at a price of 1 within a budget of 2.9999999.  Replicas that do
not carry the traffic by the exact shares are excluded by splitting the box they were found in: in each part some type
has at least one replica more.  Where they exceed a limit, some type has one less, or one more that makes room.  Most
often there is one box and one program.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from math import inf

from optimizer.solver.case import Case
from optimizer.solver.draft import Draft
from optimizer.solver.linear import Budget
from optimizer.solver.mix import TOLERANCE, Box, Mix, best_mix
from optimizer.solver.shares import TIME_S, fitted


def cheapest(case: Case, unserved: Sequence[float], first: Draft, budget: Budget) -> tuple[Draft, float] | None:
    """Return the cheapest draft that loses no more than given, and a lower bound of the price of any.

    At the end of the budget it is the best so far, `first` at least if that loses no more; None when there is none.
    """
    search = _Search(case, unserved, first, budget)
    best = search.best()
    return None if best is None else (best, min(search.unproven, case.price(best.replicas)))


class _Search:
    """Boxes that are open, best bound first, and the best draft so far."""

    def __init__(self, case: Case, unserved: Sequence[float], first: Draft, budget: Budget) -> None:
        self._case, self._unserved, self._first, self._budget = case, unserved, first, budget
        self._lost = case.lost(unserved)
        self._boxes: list[tuple[float, int, Box, Mix]] = []
        self._added = 0
        self._best: Draft | None = None
        self.unproven = inf
        """Lowest bound of the boxes that were not settled."""

    def best(self) -> Draft | None:
        """Search, and return the best draft."""
        self._offer(self._fitted(self._first.replicas))
        if not self._add(self._case.bounds, -inf):
            self.unproven = -inf
        while self._boxes:
            bound, _, box, mix = heappop(self._boxes)
            if self._best and bound >= self._case.price(self._best.replicas) * (1 - TOLERANCE):
                break
            broken = next((limit for limit in self._case.limits if limit.excess(mix.replicas) > 0), None)
            draft = None if broken else self._fitted(mix.replicas)
            if draft or self._budget.left_s <= 0:
                self._offer(draft)
                self.unproven = min(self.unproven, bound)
                if self._best and self._budget.left_s <= 0:
                    break
            else:
                self._offer(self._one_more(mix.replicas))
                for part in _parts(box, mix.replicas, broken.weights if broken else [-1.0] * len(box)):
                    self._add(part, bound)
        return self._best

    def _fitted(self, replicas: Sequence[int]) -> Draft | None:
        """Return the shares for these replicas if they do within the limits, and charge the budget."""
        if not self._case.allows(replicas):
            return None
        programs = Budget(TIME_S)
        draft = fitted(self._case, replicas, self._lost, programs)
        self._budget.left_s -= TIME_S - programs.left_s
        return draft

    def _offer(self, draft: Draft | None) -> None:
        if draft and (self._best is None or draft.is_better(self._best, self._case)):
            self._best = draft

    def _add(self, box: Box, bound: float) -> bool:
        """Add a box if it holds a plan, and say so; `bound` is that of the box that it is a part of."""
        mix = best_mix(self._case, box, self._unserved, self._first, self._budget)
        if mix:
            self._added += 1
            heappush(self._boxes, (mix.bound, self._added, box, mix))
        elif self._budget.left_s <= 0:
            self.unproven = min(self.unproven, bound)
        return mix is not None

    def _one_more(self, replicas: Sequence[int]) -> Draft | None:
        """Return the cheapest draft with one replica more of some type that is cheaper than the best."""
        more = ([n + (g == of) for g, n in enumerate(replicas)] for of in range(len(replicas)))
        within = [each for each in more if all(n <= most for n, (_, most) in zip(each, self._case.bounds, strict=True))]
        for each in sorted(within, key=self._case.price):
            if self._best and self._case.price(each) >= self._case.price(self._best.replicas):
                return None
            draft = self._fitted(each)
            if draft:
                return draft
        return None


def _parts(box: Box, replicas: Sequence[int], weights: Sequence[float]) -> Iterator[Box]:
    """Yield parts of a box that do not overlap: all of it but what has, like the given replicas, too much by weight.

    That is no fewer of types whose weight is above 0, and no more of those below 0.
    """
    halves = [_halves(*limits, n, weight) for limits, n, weight in zip(box, replicas, weights, strict=True)]
    for of, (other, _) in enumerate(halves):
        if weights[of] and other[0] <= other[1]:
            yield tuple(
                other if g == of else halves[g][1] if g < of else limits for g, limits in enumerate(box)
            )  # fmt: skip


def _halves(low: int, high: int, n: int, weight: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the part of a range that is on the other side of a number, by weight, and the rest with the number."""
    if weight == 0:
        return (low, high), (low, high)
    if weight > 0:
        return (low, min(high, n - 1)), (max(low, n), high)
    return (max(low, n + 1), high), (low, min(high, n))
