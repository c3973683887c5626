"""A plan: replicas by GPU type and the share of each bucket that each type serves.

As many requests as possible are served, and of all ways to do so the cheapest is chosen.  Replicas are whole, shares
are not: a gateway can split a bucket by weight, so integer slices of buckets would only cost more and solve slower.

Lives here: the order of steps.  Not here: the integer program (solver.mix), shares for given replicas (solver.shares),
the way without HiGHS (solver.greedy), the verification (checker).
"""

from dataclasses import dataclass, replace

from optimizer.solver import greedy, linear, mix, search, shares
from optimizer.solver.case import Case
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
    """Return the best plan that is found within the time limit; without HiGHS a greedy one."""
    solved = _solve(case) if linear.is_installed() else None
    draft, bound, solver = solved or (greedy.improve(case, greedy.first_draft(case)), greedy.bound(case), GREEDY)
    price = case.price(draft.replicas)
    plan = Plan(
        draft.replicas,
        draft.shares,
        draft.unserved,
        case.cost(draft.replicas),
        case.migration(draft.replicas),
        _gap(price, bound),
        solver,
    )
    return replace(plan, problems=tuple(problems_of(case, plan.replicas, plan.shares, plan.unserved, plan.cost)))


def _gap(price: float, bound: float) -> float:
    gap = 1.0 - bound / price if price > 0 else 0.0
    return gap if gap > ROUNDING else 0.0


def _solve(case: Case) -> tuple[Draft, float, str] | None:
    """Return the plan by HiGHS and a lower bound of its price; None when it has none in time."""
    budget = linear.Budget(case.time_limit_s * TIME_FOR_MIX)
    first, least = greedy.first_draft(case), mix.least_unserved(case, budget)
    found = search.cheapest(case, least, first, budget)
    if found is None:
        return None
    draft, bound = found
    bound = max(bound, greedy.bound(case))
    draft = shares.lowered(case, draft, bound)
    if _gap(case.price(draft.replicas), bound):  # time ran out; the first draft may lose more replicas than this one
        other = shares.lowered(case, first, bound)
        draft = other if other.is_better(draft, case) else draft
    return draft, bound, HIGHS
