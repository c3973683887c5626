"""The requests that must stay unserved: serving comes before everything that plans minimise.

Lives here: the least that stays unserved, within all bounds and limits.  Not here: for how little the rest is served
(search).
"""

from optimizer.solver import greedy, mix, shares
from optimizer.solver.case import Case
from optimizer.solver.draft import SAME, Draft, draft_of
from optimizer.solver.linear import Budget


def least_unserved(case: Case, budget: Budget) -> tuple[float, ...]:
    """Return the share of each bucket that stays unserved even with every type at its most; limits are left aside."""
    scarce = {bucket: types for bucket, types in case.carriers.items() if case.is_capped(bucket)}
    ceilings = [most for _, most in case.bounds]
    found = mix.least_missing(case, scarce, ceilings, budget, mix.TOLERANCE) or {}
    least = (found.get(bucket, share) for bucket, share in enumerate(case.hopeless))
    return tuple(share if share > mix.TOLERANCE else 0.0 for share in least)


def least_lost(case: Case, budget: Budget) -> float:
    """Return the requests per second that stay unserved at least, within all limits."""
    if not case.limits:
        return case.lost(least_unserved(case, budget))
    draft, _ = served_within_limits(case, greedy.first_draft(case), budget)
    return case.lost(draft.unserved)


def served_within_limits(case: Case, first: Draft, budget: Budget) -> tuple[Draft, float]:
    """Return a draft that serves the most within all limits, and a lower bound of the requests that any plan loses.

    `first` is a draft to begin with, which may be it.
    """
    lost, hopeless = case.lost(first.unserved), case.lost(case.hopeless)
    if lost <= hopeless * (1 + SAME):
        return first, hopeless
    found = mix.most_served(case, first, budget)
    draft = found and shares.split(case, found[0])
    if not found or not draft or not case.allows(draft.replicas):
        return first, hopeless
    slim = draft_of(case, {(g, b): part for g, row in enumerate(draft.shares) for b, part in enumerate(row) if part})
    for other in (draft, slim):  # the program does not look at costs, so that it may have too many replicas
        first = other if case.allows(other.replicas) and other.is_better(first, case) else first
    return first, max(hopeless, case.lost(first.unserved) - found[1])
