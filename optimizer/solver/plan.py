"""A plan: replicas by GPU type and the share of each bucket that each type serves.

As many requests as possible are served, and of all ways to do so the cheapest is chosen.  Replicas are whole, shares
are not: a gateway can split a bucket by weight, so integer slices of buckets would only cost more and solve slower.

Lives here: the order of steps.  Not here: the integer program (solver.mix), shares for given replicas (solver.shares),
the way without HiGHS (solver.greedy), the verification (checker).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

from optimizer.solver import greedy, linear, search, serving, shares
from optimizer.solver.case import Case, Limit
from optimizer.solver.checker import problems_of
from optimizer.solver.draft import Draft

HIGHS, GREEDY = "highs", "greedy"
TIME_FOR_MIX = 0.9
"""Share of the time limit that the integer program may take; the rest is for shares and verification (chosen)."""

ROUNDING = 1e-8
"""A gap below this is none: that much the tolerances of the solver leave."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer to a Case; types and buckets in its order."""

    replicas: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    """Share of each bucket's requests, by type and bucket."""
    unserved: tuple[float, ...]
    """Share of each bucket's requests that nobody serves."""
    cost: float
    """Money per hour."""
    migration: float
    """Price of the changes from `Case.current`; not part of `cost`."""
    gap: float
    """At most this share of cost and migration could be saved, by what is proven; 0 = an optimum."""
    solver: str
    problems: tuple[str, ...] = ()
    """Violations that the checker found; empty = verified."""


def make_plan(case: Case) -> Plan:
    """Return the best plan that is found within the time limit; without HiGHS a greedy one.

    One that breaks a limit, because no plan keeps all, has `problems`.
    """
    solved = _solve(case) if linear.is_installed() else None
    draft, bounds, solver = solved or (greedy.improve(case, greedy.first_draft(case)), greedy.bounds(case), GREEDY)
    plan = Plan(
        draft.replicas,
        draft.shares,
        draft.unserved,
        case.cost(draft.replicas),
        case.migration(draft.replicas),
        _gap(case, draft, bounds),
        solver,
    )
    problems = problems_of(case, plan.replicas, plan.shares, plan.unserved, plan.cost, gap=plan.gap)
    return replace(plan, problems=tuple(problems))


def _gap(case: Case, draft: Draft, bounds: Sequence[float]) -> float:
    """Return the largest share that is open of anything that is minimised, or of the requests."""
    values = case.values(draft.replicas)
    open_shares = [1.0 - bound / value if value > 0 else 0.0 for value, bound in zip(values, bounds[1:], strict=True)]
    lost = case.lost(draft.unserved) - bounds[0]
    gap = max([*open_shares, lost / fsum(case.rates) if lost > 0 else 0.0])
    return gap if gap > ROUNDING else 0.0


def _solve(case: Case) -> tuple[Draft, tuple[float, ...], str] | None:
    """Return the plan by HiGHS and lower bounds of what it loses, and of `Case.values`; None when it has none in time.

    What comes first is solved first, and then holds as a limit for the rest.
    """
    budget = linear.Budget(case.time_limit_s * TIME_FOR_MIX)
    first = greedy.first_draft(case)
    if case.limits:
        with budget.half() as half:
            first, lost = serving.served_within_limits(case, first, half)
        least = first.unserved
    else:
        least = serving.least_unserved(case, budget)
        lost = case.lost(least)
    bounds, stage = [lost], case
    for at, (priority, weights) in enumerate(case.tiers):
        with budget.half() as half:
            found = search.cheapest(_tier(stage, weights), least, first, half)
        if found is None:
            return None
        first, bound = found
        bounds.append(bound)
        limit = Limit(f"cost of pools of priority {priority}", weights, case.values(first.replicas)[at])
        stage = replace(stage, limits=(*stage.limits, limit))
    found = search.cheapest(stage, least, first, budget)
    if found is None:
        return None
    draft, bound = found
    bounds.append(max(bound, greedy.bound(case)))
    rest = linear.Budget(case.time_limit_s * (1 - TIME_FOR_MIX))
    draft = shares.lowered(stage, draft, bounds[-1], rest)
    if _gap(case, draft, bounds):  # time ran out; the first draft may lose more replicas than this one
        for other in (shares.lowered(stage, first, bounds[-1], rest), greedy.completed(case, draft)):
            draft = other if other.is_better(draft, case) else draft
    return draft, tuple(bounds), HIGHS


def _tier(case: Case, weights: Sequence[float]) -> Case:
    """Return the case in which only the replicas of a pool cost anything."""
    types = tuple(replace(gpu, cost=weight, priority=0) for gpu, weight in zip(case.types, weights, strict=True))
    return replace(case, types=types, current=None)
