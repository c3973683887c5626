"""The shares for given replicas, solved once more without integers: as many requests as possible, loads as even.

Lives here: whether replicas carry the traffic, and whether fewer would.  Not here: the integer program (mix).
"""

from collections.abc import Sequence

from optimizer.solver.case import Case, slack
from optimizer.solver.draft import Draft, draft_of, loads_of
from optimizer.solver.linear import Budget, Model
from optimizer.solver.mix import TOLERANCE, least_missing, load_terms

TIME_S = 10.0
"""Limit of the linear programs for given replicas; they take some 10 ms."""
TRIES = 20
"""Times at most that one replica less is tried: where time ran out a plan may have many too many."""


def split(case: Case, replicas: Sequence[int], budget: Budget | None = None) -> Draft | None:
    """Return the shares by which these replicas serve the most, their highest utilisation lowest; None = not solved.

    Its linear programs have `budget`, TIME_S if not told.
    """
    budget = budget or Budget(TIME_S)
    awake = {bucket: [g for g in types if replicas[g]] for bucket, types in case.carriers.items()}
    awake = {bucket: types for bucket, types in awake.items() if types}
    draft = _even(case, replicas, awake, dict.fromkeys(awake, 1.0), budget)
    if draft is None or fits(case, draft):
        return draft
    missing = least_missing(case, awake, replicas, budget, max(TOLERANCE / 10, *map(slack, replicas)))
    if missing is None:
        return None
    return _even(case, replicas, awake, {bucket: 1.0 - share for bucket, share in missing.items()}, budget)


def fits(case: Case, draft: Draft) -> bool:
    """Whether the replicas carry their shares."""
    loads = loads_of(case, draft.shares)
    return all(load <= n + slack(n) for load, n in zip(loads, draft.replicas, strict=True))


def _even(
    case: Case, replicas: Sequence[int], awake: dict[int, list[int]], served: dict[int, float], budget: Budget
) -> Draft | None:
    """Share so much of each bucket so that the highest utilisation is lowest."""
    model = Model()
    peak = model.column(cost=1.0)
    shares = {(g, bucket): model.column(upper=1.0) for bucket in served for g in awake[bucket]}
    for bucket, share in served.items():
        model.row([(shares[g, bucket], 1.0) for g in awake[bucket]], lower=share, upper=share)
    for g, count in enumerate(replicas):
        if count:
            model.row([*load_terms(case, shares, g, divided_by=count), (peak, -1.0)], upper=0.0)
    outcome = model.solve(budget, TOLERANCE / 10)
    if outcome is None:
        return None
    parts = {key: max(0.0, outcome.values[column]) for key, column in shares.items()}
    for bucket, share in served.items():
        total = sum(parts[g, bucket] for g in awake[bucket])
        for g in awake[bucket]:
            parts[g, bucket] *= share / total if total else 0.0
    return draft_of(case, parts, replicas)


def fitted(case: Case, replicas: Sequence[int], lost: float, budget: Budget | None = None) -> Draft | None:
    """Return the shares for these replicas; None when they carry less than all but `lost` requests per second."""
    draft = split(case, replicas, budget)
    most = lost + TOLERANCE * max(lost, min(filter(None, case.rates), default=0.0))
    return draft if draft and fits(case, draft) and case.lost(draft.unserved) <= most else None


def lowered(case: Case, draft: Draft, bound: float, budget: Budget | None = None) -> Draft:
    """Return the draft without replicas that are not needed, as far as `bound` leaves it open whether there are any.

    It is tried within `budget`, TIME_S if not told.
    """
    budget = budget or Budget(TIME_S)
    lost, tries = case.lost(draft.unserved), 0
    for g in sorted(range(len(case.types)), key=lambda g: -case.types[g].cost):
        while draft.replicas[g] > case.bounds[g][0] and _is_open(case, draft, g, bound) and tries < TRIES:
            tries += 1
            replicas = [n - (g == of) for of, n in enumerate(draft.replicas)]
            less = fitted(case, replicas, lost, budget) if case.allows(replicas) and budget.left_s > 0 else None
            if less is None:
                break
            draft = less
    return draft


def _is_open(case: Case, draft: Draft, g: int, bound: float) -> bool:
    """Whether one replica less would not contradict the lower bound of the price."""
    price = case.price(draft.replicas)
    return price - case.types[g].cost >= bound - 2 * TOLERANCE * price
