"""Decisions: from a model's traffic to the replicas that its deployments should have now, and the hint for gateways.

A plan is made anew each time; what is published follows it up at once and down late (stability).  Whatever is missing
holds the last decision: no traces, old traces, no profiles, a plan that fails its verification.

Lives here: the settings, the decision, the order of its steps.  Not here: demand, cases, solving, how replicas are
released (stability), hints (hints); reading and publishing (optimizer.service).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum, inf

from optimizer.planning.allotment import limits_of
from optimizer.planning.cases import MARGIN, Grid, buckets_of, grid_of, in_flight_within
from optimizer.planning.demand import Demand, Estimator
from optimizer.planning.deployments import Deployment
from optimizer.planning.fleet import Fleet, fleet_of
from optimizer.planning.hearing import Heard
from optimizer.planning.hints import hint_of, targets_of
from optimizer.planning.stability import Settled, Stability
from optimizer.planning.stages import stages_of, traces_of, unserved_of
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from optimizer.solver.case import Case
from optimizer.solver.plan import Plan, make_plan
from optimizer.solver.supply import Supply
from traffic.hint import Hint
from traffic.window import Window

DEAR = 0.02
"""A plan that costs more than this share above the cheapest is dear (docs/optimizer.md)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of decisions."""

    slo: Slo | None = None
    """Targets of mean latencies; None = as each profile was measured."""
    margin: float = MARGIN
    """Planned for so many times the profiled delays, >= 1."""
    utilisation: float = 1.0
    """Highest utilisation of planned replicas, (0, 1], on top of the margin."""
    survivors_utilisation: float = 0.9
    """Replicas are released only if those that stay would be used no more than this, as a part of `utilisation`; to the
    full when 5 times as many plans agree."""
    agreeing_plans: int = 3
    """Replicas are released when so many plans in a row do without them, >= 1."""
    most_agreeing_plans: int = 60
    """Replicas that a plan wants back within so many plans of their release need twice as many agreeing plans the next
    time, up to so many: half an hour of decisions."""
    idle_s: float = 300.0
    """Without any request for so long a deployment has its `min_replicas`.
    About as long as a replica takes to start: a shorter pause is not worth a stop and a start."""
    stale_s: float = 60.0
    """Traces that end longer ago than this say nothing of now, and the last decision stands."""
    time_limit_s: float = 2.0
    """Time limit of one plan."""
    supply: Supply = field(default_factory=Supply)
    """GPUs, money and spot instances that there are, for all models together."""
    weigh_changes: bool = True
    """Whether starting and stopping replicas has a price (MIGRATION_SHARE)."""
    dear_plans: int = 10
    """After so many plans in a row that this price made more than DEAR dearer, one is made without it: it is paid once,
    the replicas by the hour.  10 are the 5 minutes that demand remembers."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Replicas to have, and how that came about."""

    replicas: Mapping[str, int]
    """By key of each deployment (`namespace/name`)."""
    demand: Demand
    grid: Grid
    """The demand by lengths: the buckets of `case`."""
    case: Case | None = None
    """Solved by `plan`; its types have the keys of deployments as names.  None = nothing was planned."""
    plan: Plan | None = None
    hint: Hint | None = None
    """None = there is nothing to tell gateways; an older hint expires."""
    held: tuple[str, ...] = ()
    """Why something is not done yet, one sentence each."""
    notes: tuple[str, ...] = ()
    """Anything else that an operator should know, one sentence each."""
    stages: Mapping[str, str] = field(default_factory=dict)
    """State of each stage from traces to the plan, for /explain."""

    @property
    def cost(self) -> float | None:
        """Money per hour of the published replicas, as far as they were planned; None = nothing was planned."""
        return fsum(gpu.cost * self.replicas[gpu.name] for gpu in self.case.types) if self.case else None

    @property
    def unserved_rate(self) -> float | None:
        """Requests per second that the plan leaves unserved; None = nothing was planned."""
        return self.case.lost(self.plan.unserved) if self.case and self.plan else None


class Decider:
    """Decides for one model; windows and times are by the clock of Redis."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._estimator, self._heard = Estimator(), Heard()
        self._stability = Stability(
            self._policy.agreeing_plans, self._policy.most_agreeing_plans, self._policy.survivors_utilisation
        )
        self._in_force: dict[str, int] = {}
        """Published replicas of the deployments that were ever planned."""
        self._hint: Hint | None = None
        self._dear_plans = 0
        """Plans in a row that cost noticeably more than one from nothing."""

    def learn(self, window: Window) -> None:
        """Take a window in; they come in the order of time."""
        self._estimator.learn(window)
        self._heard.take(window)

    def decide(
        self,
        now_s: float,
        deployments: Sequence[Deployment],
        profiles: Mapping[str, Profile],
        overrides: Mapping[str, int] | None = None,
        *,
        others: Sequence[Deployment] = (),
        allotted: Mapping[str, int] | None = None,
    ) -> Decision:
        """Return the replicas that the model's deployments should have now.

        `profiles` are by name of the deployment, `overrides` are replicas that somebody asked for, by key, and `others`
        are deployments of other models, whose replicas are taken off the supply.  `allotted` are the most replicas of
        each deployment, by key, where the supply is not enough for all models (allotment).
        """
        fleet = fleet_of(deployments, profiles, overrides or {}, self._policy.slo)
        is_idle = self._heard.idle_s >= self._policy.idle_s
        demand = self._demand(fleet, is_idle=is_idle)
        silence = self._heard.silence(now_s, self._policy.stale_s)
        if silence or not (fleet.profiles or is_idle):
            return self._hold(now_s, fleet, demand, silence or "no deployment has a profile to plan by")
        grid = grid_of(demand)
        case, notes = self._case(fleet, grid, is_idle=is_idle)
        if not is_idle:
            shared = limits_of(case, allotted or {})
            case = replace(case, limits=(*fleet.limits(case, self._policy.supply, others), *shared))
        plan = self._plan(case)
        if plan.problems:
            return self._hold(now_s, fleet, demand, f"the plan fails its verification: {'; '.join(plan.problems)}")
        settled = self._settle(fleet, case, plan, is_idle=is_idle)
        replicas = {**fleet.in_force(self._in_force), **settled.replicas, **fleet.overrides}
        self._in_force = {key: n for key, n in replicas.items() if key in fleet.profiles or key in self._in_force}
        hint = hint_of(case, plan, grid, replicas, fleet.ready())
        self._hint = replace(
            hint, version=max(self._version + 1, int(now_s)), created_s=now_s, slo=targets_of(self._policy.slo)
        )
        told = (*fleet.notes(), *notes, *unserved_of(case, plan, grid), *_assumed(demand))
        stages = stages_of(traces_of(self._heard, now_s), fleet, demand, settled.held, (case, plan))
        return Decision(replicas, demand, grid, case, plan, self._hint, settled.held, told, stages)

    @property
    def _version(self) -> int:
        return self._hint.version if self._hint else 0

    def _demand(self, fleet: Fleet, *, is_idle: bool) -> Demand:
        """Return the demand; as many requests as the SLO's latencies allow in flight are no backlog."""
        steady = self._estimator.demand(in_flight=inf)
        if is_idle:
            return Demand(0.0, steady.shares)
        slos = [self._policy.slo] if self._policy.slo else [profile.slo for profile in fleet.profiles.values()]
        allowed = max((in_flight_within(slo, buckets_of(steady)) for slo in slos), default=inf)
        return self._estimator.demand(self._heard.in_flight if allowed == inf else allowed)

    def _case(self, fleet: Fleet, grid: Grid, *, is_idle: bool) -> tuple[Case, list[str]]:
        """Return the case to solve, and notes."""
        policy, in_force = self._policy, fleet.in_force(self._in_force)
        types, notes = fleet.types(grid, policy.slo, policy.margin, is_idle=is_idle)
        current = tuple(in_force[gpu.name] for gpu in types) if policy.weigh_changes else None
        rates = tuple(bucket.rate for bucket in grid.buckets)
        return Case(tuple(types), rates, 1.0 / policy.utilisation, current, policy.time_limit_s), notes

    def _plan(self, case: Case) -> Plan:
        """Return the plan from what runs, or from nothing when that has been cheaper for long enough."""
        plan = make_plan(case)
        if case.current is None:
            return plan
        afresh = make_plan(replace(case, current=None))
        is_dear = plan.cost > afresh.cost * (1 + DEAR) and case.lost(plan.unserved) >= case.lost(afresh.unserved)
        self._dear_plans = self._dear_plans + 1 if is_dear and not afresh.problems else 0
        return afresh if self._dear_plans >= self._policy.dear_plans else plan

    def _settle(self, fleet: Fleet, case: Case, plan: Plan, *, is_idle: bool) -> Settled:
        """Return what of a plan is done now."""
        if is_idle:
            self._stability.forget()
            return Settled(fleet.at_rest())
        if not any(case.rates):  # a plan for nothing has no replicas at all, not even min_replicas
            return Settled(fleet.in_force(self._in_force), ("no requests are heard, and not for long enough to rest",))
        wanted = {gpu.name: n for gpu, n in zip(case.types, plan.replicas, strict=True)}
        return self._stability.settle(case, wanted, fleet.in_force(self._in_force), fleet.ready())

    def _hold(self, now_s: float, fleet: Fleet, demand: Demand, why: str) -> Decision:
        """Return what is in force: the last decision, or what runs after a start."""
        self._stability.forget()
        since = "the last decision stands" if self._in_force else "what runs is kept"
        held = (f"{since}: {why}",)
        if self._hint:
            self._hint = replace(self._hint, created_s=now_s)
        stages = stages_of(traces_of(self._heard, now_s), fleet, demand, held)
        return Decision(
            fleet.in_force(self._in_force), demand, grid_of(demand),
            hint=self._hint, held=held, notes=tuple(fleet.notes()), stages=stages,
        )  # fmt: skip


def _assumed(demand: Demand) -> tuple[str, ...]:
    return ("no request has completed yet: lengths are assumed",) if demand.is_assumed else ()
