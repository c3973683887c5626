"""Allotments: replicas for each model of what all share, where that is not enough for every model alone.

Models are decided one after another, each beside what the others run, so the first to grow would keep what it took.
Where the plans that each makes alone exceed the supply, one plan of all says how many replicas each may have.

Lives here: from the last cases to the most replicas.  Not here: the plan of all (optimizer.solver.joint), decisions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optimizer.planning.deployments import Deployment, left_beside
from optimizer.solver.case import Case, Limit
from optimizer.solver.joint import JointCase, make_joint_plan
from optimizer.solver.supply import Supply

TIME_LIMIT_S = 5.0
"""Time limit of the plan of all: a fraction of a decision period."""


def allotments(cases: Mapping[str, Case], deployments: Sequence[Deployment], supply: Supply) -> dict[str, int]:
    """Return the most replicas of each deployment by key; nothing where the supply is enough for all.

    `cases` are those of the last decisions, by model, with the keys of deployments as names of types; deployments that
    are in none of them keep what they have.
    """
    known = {each.key: each for each in deployments}
    alone = {
        name: replace(case, limits=()) for name, case in cases.items() if all(gpu.name in known for gpu in case.types)
    }
    planned = [gpu.name for case in alone.values() for gpu in case.types]
    left = left_beside(supply, [each for key, each in known.items() if key not in planned])
    loads = [(case, [known[gpu.name].place for gpu in case.types]) for case in alone.values()]
    is_shared = len(alone) > 1 and (limits := left.limits(loads))
    plan = make_joint_plan(JointCase(alone, limits, TIME_LIMIT_S)) if is_shared else None
    return dict(zip(planned, plan.replicas, strict=True)) if plan and plan.is_joint and not plan.problems else {}


def limits_of(case: Case, allotted: Mapping[str, int]) -> tuple[Limit, ...]:
    """Return the allotments of a case's types as limits."""
    keys = [gpu.name for gpu in case.types]
    return tuple(
        Limit(f"{key} of what all models share", tuple(float(key == each) for each in keys), allotted[key])
        for key in keys
        if key in allotted
    )
