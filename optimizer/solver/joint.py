"""Several models on one supply: planned each alone, which is exact while no limit binds, and together where one does.

Together they are one case: the types and buckets of all models side by side, where a model's types carry only its own
buckets.  Buckets are not merged: within the same time plans were dearer with merged ones (measured, bench.planning).

Lives here: that case, and the way back to a plan of each model.  Not here: solving and verifying a case (plan).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, pairwise

from optimizer.solver.case import Case, GpuType, Limit
from optimizer.solver.checker import problems_of
from optimizer.solver.plan import Plan, make_plan

TIME_LIMIT_S = 10.0


@dataclass(frozen=True)
class JointCase:
    """The cases of models by name, each with limits of its own, and limits that they share."""

    cases: Mapping[str, Case]
    limits: tuple[Limit, ...]
    """On the types of all cases, one case's after the other's."""
    time_limit_s: float = TIME_LIMIT_S

    @cached_property
    def types(self) -> Mapping[str, slice]:
        """The place of each model's types among those of all."""
        return self._places([len(case.types) for case in self.cases.values()])

    @cached_property
    def buckets(self) -> Mapping[str, slice]:
        """The place of each model's buckets among those of all."""
        return self._places([len(case.rates) for case in self.cases.values()])

    def _places(self, counts: Sequence[int]) -> Mapping[str, slice]:
        ends = pairwise(accumulate(counts, initial=0))
        return dict(zip(self.cases, (slice(*each) for each in ends), strict=True))

    def together(self) -> Case:
        """Return all models as one case, whose types are named `model/type`.

        Changes are free unless the replicas that run are known of each model.
        """
        cases = list(self.cases.values())
        currents = [case.current for case in cases if case.current is not None]
        return Case(
            tuple(gpu for name in self.cases for gpu in self._types(name)),
            tuple(rate for case in cases for rate in case.rates),
            current=tuple(chain.from_iterable(currents)) if len(currents) == len(cases) else None,
            time_limit_s=self.time_limit_s,
            limits=(*self.limits, *(limit for name in self.cases for limit in self._own_limits(name))),
        )

    def _types(self, name: str) -> Iterator[GpuType]:
        """Yield the types of a model, whose throughput is less by its headroom."""
        case, count = self.cases[name], sum(len(case.rates) for case in self.cases.values())
        for gpu in case.types:
            throughput = _alone(self.buckets[name], count, [value / case.headroom for value in gpu.throughput])
            yield replace(gpu, name=f"{name}/{gpu.name}", throughput=throughput)

    def _own_limits(self, name: str) -> Iterator[Limit]:
        count = sum(len(case.types) for case in self.cases.values())
        for limit in self.cases[name].limits:
            yield Limit(f"{name}: {limit.name}", _alone(self.types[name], count, limit.weights), limit.most)


def _alone(place: slice, count: int, values: Sequence[float]) -> tuple[float, ...]:
    """Return so many values: the given ones at their place, and 0 elsewhere."""
    return (*[0.0] * place.start, *values, *[0.0] * (count - place.stop))


@dataclass(frozen=True, slots=True)
class JointPlan:
    """The plan of each model; replicas together keep the limits that the models share."""

    plans: Mapping[str, Plan]
    replicas: tuple[int, ...]
    """Those of all models, one after the other."""
    gap: float
    """At most this share could be saved or served in addition, as of a Plan."""
    is_joint: bool
    """Whether a shared limit binds, so that the models were planned together."""
    problems: tuple[str, ...] = ()


def make_joint_plan(joint: JointCase) -> JointPlan:
    """Return the plans of all models: each alone where they keep the shared limits, else together."""
    case = joint.together()
    alone = {
        name: make_plan(replace(each, time_limit_s=min(each.time_limit_s, joint.time_limit_s)))
        for name, each in joint.cases.items()
    }
    replicas = tuple(chain.from_iterable(plan.replicas for plan in alone.values()))
    if all(limit.excess(replicas) <= 0 for limit in joint.limits):
        gap = max((plan.gap for plan in alone.values()), default=0.0)
        unserved = tuple(chain.from_iterable(plan.unserved for plan in alone.values()))
        shares = [
            _alone(joint.buckets[name], len(case.rates), row) for name, plan in alone.items() for row in plan.shares
        ]
        problems = tuple(problems_of(case, replicas, shares, unserved, case.cost(replicas), gap=gap))
        return JointPlan(alone, replicas, gap, is_joint=False, problems=problems)
    plan = make_plan(case)
    plans = {name: _of_model(joint, name, plan) for name in joint.cases}
    return JointPlan(plans, plan.replicas, plan.gap, is_joint=True, problems=plan.problems)


def _of_model(joint: JointCase, name: str, plan: Plan) -> Plan:
    """Return the part of a plan of all models that is a model's."""
    case, types, buckets = joint.cases[name], joint.types[name], joint.buckets[name]
    replicas = plan.replicas[types]
    return replace(
        plan,
        replicas=replicas,
        shares=tuple(row[buckets] for row in plan.shares[types]),
        unserved=plan.unserved[buckets],
        cost=case.cost(replicas),
        migration=case.migration(replicas),
    )
