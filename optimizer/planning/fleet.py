"""The deployments of a model as one decision sees them: what can be planned, within which bounds, and what cannot.

A deployment without a profile is kept as it is, and counts for nothing: how much it carries is not known, and to stop
it could stop what somebody runs by hand.

Lives here: deployments and profiles to GPU types of a case.  Not here: decisions (decider), throughputs (cases).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optimizer.planning.cases import Grid, offer_of, unfit
from optimizer.planning.deployments import Deployment, left_beside
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from optimizer.solver.case import Case, GpuType, Limit
from optimizer.solver.supply import Supply


@dataclass(frozen=True, slots=True)
class Fleet:
    """Deployments by key."""

    deployments: Mapping[str, Deployment]
    profiles: Mapping[str, Profile]
    """Profiles of the deployments that can be planned."""
    overrides: Mapping[str, int]
    unplanned: tuple[str, ...]
    """Why each of the others cannot be planned, one line each."""

    def in_force(self, before: Mapping[str, int]) -> dict[str, int]:
        """Return the replicas to go on from: those published `before`, of new deployments what runs, at least min."""
        return {
            key: self._within(key, before.get(key, max(each.replicas, each.min_replicas)))
            for key, each in self.deployments.items()
        }

    def at_rest(self) -> dict[str, int]:
        """Return the replicas without any load: `min_replicas`, and what cannot be planned as it is, at least min."""
        now = self.in_force({})
        return {
            key: self._within(key, each.min_replicas) if key in self.profiles else now[key]
            for key, each in self.deployments.items()
        }

    def ready(self) -> dict[str, int]:
        """Return the replicas that can serve now."""
        return {key: each.ready for key, each in self.deployments.items()}

    def _within(self, key: str, replicas: int) -> int:
        """Return the replicas inside the bounds that hold with and without load; an override wins."""
        if key in self.overrides:
            return self.overrides[key]
        lowest, highest = self._bounds(key)
        return max(lowest, replicas if highest is None else min(replicas, highest))

    def _bounds(self, key: str) -> tuple[int, int | None]:
        """Return the fewest and most replicas under load; of bounds that contradict each other the upper wins."""
        deployment = self.deployments[key]
        lowest, highest = deployment.min_replicas if deployment.is_min_always else 0, deployment.max_replicas
        return (lowest if highest is None else min(lowest, highest)), highest

    def types(self, grid: Grid, slo: Slo | None, margin: float, *, is_idle: bool) -> tuple[list[GpuType], list[str]]:
        """Return the plannable deployments as GPU types named by key, and notes; without load they have their min."""
        notes: list[str] = []
        types, resting = [], self.at_rest()
        for key, profile in self.profiles.items():
            offer = offer_of(profile, grid.buckets, slo, margin)
            fixed = resting[key] if is_idle or key in self.overrides else None
            lowest, highest = self._bounds(key) if fixed is None else (fixed, fixed)
            deployment = self.deployments[key]
            cost = profile.cost if deployment.cost is None else deployment.cost
            throughput = deployment.place.lasting(offer.throughput)
            types.append(GpuType(key, cost, throughput, lowest, highest, deployment.pool_priority))
            notes += offer.notes
        return types, notes

    def limits(self, case: Case, supply: Supply, others: Sequence[Deployment]) -> tuple[Limit, ...]:
        """Return the limits of a supply on the types of a case, beside what is not planned and what `others` have."""
        now = self.in_force({})
        kept = [replace(each, replicas=now[key]) for key, each in self.deployments.items() if key not in self.profiles]
        left = left_beside(supply, [*kept, *others])
        return left.limits([(case, [self.deployments[gpu.name].place for gpu in case.types])])

    def notes(self) -> list[str]:
        """Return what an operator should know of the deployments."""
        told = [f"{key}: kept at {n}, as /scale asked" for key, n in self.overrides.items()]
        return [*self.unplanned, *told, *self._contradictions()]

    def _contradictions(self) -> list[str]:
        return [
            f"{key}: min_replicas = {each.min_replicas}, above max_replicas = {each.max_replicas}, which wins"
            for key, each in self.deployments.items()
            if each.max_replicas is not None and each.min_replicas > each.max_replicas
        ]


def fleet_of(
    deployments: Sequence[Deployment], profiles: Mapping[str, Profile], overrides: Mapping[str, int], slo: Slo | None
) -> Fleet:
    """Return the fleet; `profiles` are by name of the deployment, `overrides` by key."""
    known = {each.key: each for each in sorted(deployments, key=lambda each: each.key)}
    why = {key: _unplanned(each, profiles.get(each.name), slo) for key, each in known.items()}
    return Fleet(
        known,
        {key: profiles[each.name] for key, each in known.items() if why[key] is None},
        {key: n for key, n in overrides.items() if key in known},
        tuple(reason for reason in why.values() if reason),
    )


def _unplanned(deployment: Deployment, profile: Profile | None, slo: Slo | None) -> str | None:
    if profile is None:
        key = f"aibrix:profile_{deployment.model}_{deployment.name}"
        return f"{deployment.key}: kept as it is, has no profile ({key})"
    problem = unfit(profile, slo)
    return f"{deployment.key}: kept as it is, {problem}" if problem else None
