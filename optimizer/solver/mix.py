"""The integer program: whole replicas, fractional shares (docs/optimizer.md has it as formulas).

Lives here: the model of the mix.  Not here: which requests must stay unserved (serving), the exact shares for the
replicas that it finds (shares), HiGHS (linear).

A bucket of next to no load could be served by zero replicas within the solver's tolerance, and a cheaper "optimum"
than the true one would follow; so such a share may not exceed the number of replicas.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, fsum

from optimizer.solver.case import Case, slack
from optimizer.solver.draft import Draft
from optimizer.solver.linear import Budget, Model

TOLERANCE = 1e-9
"""Most by which a row may be violated: HiGHS works in doubles, and 1e-10 is the least that it accepts."""
TINY_LOAD = 1e-4
"""Shares of smaller loads, in replicas, are bounded by the number of replicas; with larger ones the tolerance leaves
less than 1e-5 of a share to zero replicas.  Rows for all would take twice the time (measured)."""
RARE = 1e-3
"""Buckets of fewer requests than this part of the largest are not exchanged, if some must stay unserved."""
PRICE_SCALE = 1000.0
"""Price of the first draft as the solver sees it, whatever the currency (chosen: far from its tolerances)."""
NEGLIGIBLE = 1e-7
"""Types that cost less than this share of the whole price are decided after the others: the solver would take as many
as it likes."""

Box = Sequence[tuple[int, int]]
"""Fewest and most replicas by type."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Replicas by type, and a lower bound of the price of any plan."""

    replicas: tuple[int, ...]
    bound: float


def least_missing(
    case: Case, carriers: Mapping[int, Sequence[int]], replicas: Sequence[int], budget: Budget, tolerance: float
) -> dict[int, float] | None:
    """Return the share of each bucket that so many replicas of its carriers leave at least; None = not solved."""
    if not carriers:
        return {}
    model = Model()
    heaviest = max(case.rates[bucket] for bucket in carriers)
    shares = {(g, bucket): model.column(upper=1.0) for bucket, types in carriers.items() for g in types}
    missing = {bucket: model.column(case.rates[bucket] / heaviest, upper=1.0) for bucket in carriers}
    serve_all(model, carriers, shares, missing)
    for g, count in enumerate(replicas):
        model.row(load_terms(case, shares, g), upper=float(count))
    outcome = model.solve(budget, tolerance)
    return (
        {bucket: min(1.0, max(0.0, outcome.values[column])) for bucket, column in missing.items()} if outcome else None
    )


def serve_all(
    model: Model, buckets: Iterable[int], shares: Mapping[tuple[int, int], int], missing: Mapping[int, int]
) -> None:
    """Require that the shares of each bucket, and what is missing of it, add up to one."""
    terms: dict[int, list[tuple[int, float]]] = {bucket: [] for bucket in buckets}
    for (_, bucket), column in shares.items():
        terms[bucket].append((column, 1.0))
    for bucket, column in missing.items():
        terms[bucket].append((column, 1.0))
    for row in terms.values():
        model.row(row, lower=1.0, upper=1.0)


def load_terms(
    case: Case, shares: Mapping[tuple[int, int], int], g: int, divided_by: float = 1.0
) -> list[tuple[int, float]]:
    """Return the terms of the load of a type."""
    return [(column, case.loads[g][bucket] / divided_by) for (of, bucket), column in shares.items() if of == g]


def best_mix(case: Case, box: Box, unserved: Sequence[float], first: Draft, budget: Budget) -> Mix | None:
    """Return the cheapest replicas in a box that leave no more unserved than given, or the best found in time.

    `first` is a draft to begin with.  None = nothing found.
    """
    bounds = _affordable(case, box, unserved, first)
    if any(low > high for low, high in bounds):
        return None
    inside = case.allows(first.replicas) and all(
        low <= n <= high for n, (low, high) in zip(first.replicas, bounds, strict=True)
    )
    program = _Program(case, unserved, bounds, costs=[gpu.cost for gpu in case.types], price=case.price(first.replicas))
    outcome = program.solve(first if inside else None, budget)
    if outcome is None:
        return None
    replicas, unproven = outcome
    replicas = _without_waste(case, box, unserved, replicas, budget)
    return Mix(replicas, case.price(replicas) - unproven)


def most_served(case: Case, first: Draft, budget: Budget) -> tuple[tuple[int, ...], float] | None:
    """Return the replicas within all limits that serve the most, and how many requests per second more may be served.

    None = nothing found.
    """
    program = _Program(case, None, case.bounds, costs=[0.0] * len(case.types), price=0.0, moving=False)
    return program.solve(first if case.allows(first.replicas) else None, budget)


def _without_waste(
    case: Case, box: Box, unserved: Sequence[float], replicas: tuple[int, ...], budget: Budget
) -> tuple[int, ...]:
    """Return the replicas with the fewest of those types that cost next to nothing."""
    cheap = [gpu.cost <= NEGLIGIBLE * case.price(replicas) for gpu in case.types]
    if not any(is_cheap and n > low for is_cheap, n, (low, _) in zip(cheap, replicas, box, strict=True)):
        return replicas
    dearest = max(gpu.cost for gpu, is_cheap in zip(case.types, cheap, strict=True) if is_cheap) or 1.0
    costs = [
        gpu.cost / dearest + NEGLIGIBLE if is_cheap else 0.0 for gpu, is_cheap in zip(case.types, cheap, strict=True)
    ]
    fixed = [limits if is_cheap else (n, n) for is_cheap, n, limits in zip(cheap, replicas, box, strict=True)]
    price = fsum(cost * n for cost, n in zip(costs, replicas, strict=True))
    outcome = _Program(case, unserved, fixed, costs=costs, price=price, moving=False).solve(None, budget)
    return outcome[0] if outcome else replicas


def _affordable(case: Case, box: Box, unserved: Sequence[float], first: Draft) -> list[tuple[int, int]]:
    """Return the box without replicas of which one type alone would cost more than the first draft."""
    loses_more = any(left > must + TOLERANCE for left, must in zip(first.unserved, unserved, strict=True))
    if loses_more or not case.allows(first.replicas):
        return list(box)
    price = case.price(first.replicas)
    return [
        (low, min(high, max(case.bounds[g][0], floor(min(high, price / gpu.cost * (1 + TOLERANCE))))))
        if gpu.cost > 0
        else (low, high)
        for g, (gpu, (low, high)) in enumerate(zip(case.types, box, strict=True))
    ]


class _Program:
    """The model with its columns; without `unserved` it minimises what nobody serves, in place of the price."""

    def __init__(
        self,
        case: Case,
        unserved: Sequence[float] | None,
        bounds: Box,
        *,
        costs: Sequence[float],
        price: float,
        moving: bool = True,
    ) -> None:
        self._case, self._model = case, Model()
        self._scale = PRICE_SCALE / price if price > 0 else 1.0
        self._replicas = [
            self._model.column(cost * self._scale, float(low), float(high), whole=True)
            for cost, (low, high) in zip(costs, bounds, strict=True)
        ]
        self._shares = {
            (g, bucket): self._model.column(upper=1.0)
            for bucket, types in case.carriers.items()
            for g in types
            if bounds[g][1] > 0
        }
        if unserved is None:
            self._serve_most()
        else:
            self._leave_unserved(unserved)
        self._carry_loads()
        self._keep_limits()
        self._changes: list[tuple[int, int]] = []
        if moving and case.current is not None:
            self._price_changes(case.current)

    def _serve_most(self) -> None:
        rates = self._case.rates
        self._scale = PRICE_SCALE / fsum(rates[bucket] for bucket in self._case.carriers)
        self._missing = {b: self._model.column(rates[b] * self._scale, upper=1.0) for b in self._case.carriers}
        serve_all(self._model, self._case.carriers, self._shares, self._missing)

    def _leave_unserved(self, unserved: Sequence[float]) -> None:
        """Serve every bucket, or lose no more requests in all than must be."""
        rates, lost = self._case.rates, self._case.lost(unserved)
        tied = [b for b in self._case.carriers if lost > 0 and self._case.is_capped(b)]
        heaviest = max((rates[b] for b in tied), default=1.0)
        self._missing = {b: self._model.column(upper=1.0 if rates[b] > RARE * heaviest else unserved[b]) for b in tied}
        serve_all(self._model, self._case.carriers, self._shares, self._missing)
        if tied:
            most = fsum(rates[b] / heaviest * unserved[b] for b in tied)
            self._model.row([(self._missing[b], rates[b] / heaviest) for b in tied], upper=most * (1 + TOLERANCE))

    def _carry_loads(self) -> None:
        for g, replicas in enumerate(self._replicas):
            self._model.row([*load_terms(self._case, self._shares, g), (replicas, -1.0)], upper=0.0)
        for (g, bucket), share in self._shares.items():
            if self._case.loads[g][bucket] < TINY_LOAD:
                self._model.row([(share, 1.0), (self._replicas[g], -1.0)], upper=0.0)

    def _keep_limits(self) -> None:
        self._model.presolve = not self._case.limits
        for limit in self._case.limits:
            largest = max(map(abs, limit.weights), default=0.0) or 1.0
            terms = [(n, weight / largest) for n, weight in zip(self._replicas, limit.weights, strict=True) if weight]
            self._model.row(terms, upper=limit.most / largest)

    def _price_changes(self, current: Sequence[int]) -> None:
        for g, replicas in enumerate(self._replicas):
            price = self._case.migration_price(g) * self._scale
            more, fewer = self._model.column(price), self._model.column(price)
            self._model.row([(replicas, 1.0), (more, -1.0), (fewer, 1.0)], float(current[g]), float(current[g]))
            self._changes.append((more, fewer))

    def _values(self, draft: Draft) -> list[float]:
        """Return a draft as a solution to begin with."""
        values = [0.0] * len(self._model.costs)
        for g, column in enumerate(self._replicas):
            values[column] = draft.replicas[g]
        for (g, bucket), column in self._shares.items():
            values[column] = draft.shares[g][bucket]
        for bucket, column in self._missing.items():
            values[column] = draft.unserved[bucket]
        for (more, fewer), since, to in zip(self._changes, self._case.current or (), draft.replicas, strict=False):
            values[more], values[fewer] = max(0, to - since), max(0, since - to)
        return values

    def solve(self, first: Draft | None, budget: Budget) -> tuple[tuple[int, ...], float] | None:
        """Return the replicas, and by how much their price could be lower by what is proven."""
        tolerance = max([TOLERANCE, *(slack(self._model.upper[column]) for column in self._replicas)])
        outcome = self._model.solve(budget, tolerance, self._values(first) if first else None)
        if outcome is None:
            return None
        unproven = (outcome.objective - outcome.bound) / self._scale
        return tuple(round(outcome.values[column]) for column in self._replicas), unproven
