"""From plans to replicas that change no more than they must: up at once, down late, swaps without a gap.

- A type that a plan wants more of grows at once.
- It shrinks to the most that any of the last AGREEING plans wanted, and only as far as the replicas that stay carry
  today's load: one of N less leaves each of the others N / (N - 1) of what it has (without this check a fleet swings
  between 2 and 1).
- Nothing shrinks while a type that grows is not Ready: make before break.
- Without a plan (no traces, or stale ones) everything stays.

Lives here: the arithmetic, on values.  Not here: plans (plan), Kubernetes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from optimizer.case import Case
from optimizer.solver.shares import fitted

AGREEING = 3
"""Plans that must agree before a type shrinks: over a noisy day 493 changes rather than 1786, and capacity was short
12 % of the time rather than 33 % (measured)."""
UTILISATION = 0.85
"""Highest utilisation of replicas that stay: at 88 % of a queue's capacity requests wait 31 ms, at 97 % 454 ms."""

Carries = Callable[[Mapping[str, int]], bool]
"""Whether these replicas by type carry today's load."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Replicas that are wanted now, what the last plans wanted, and why a type is held above its plan."""

    replicas: Mapping[str, int]
    wanted: tuple[Mapping[str, int], ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)


def carrying(case: Case) -> Carries:
    """Return the check against today's load, as a case, by exact shares at UTILISATION."""
    today = replace(case, headroom=1 / UTILISATION)

    def carries(replicas: Mapping[str, int]) -> bool:
        counts = [replicas.get(gpu.name, 0) for gpu in today.types]
        unservable = sum(rate for bucket, rate in enumerate(today.rates) if bucket not in today.carriers)
        return fitted(today, counts, unservable) is not None

    return carries


def hold(before: Holding, reason: str) -> Holding:
    """Return the same replicas, because there is no plan.  Plans before and after a gap do not agree across it."""
    return Holding(before.replicas, (), dict.fromkeys(before.replicas, reason))


def settle(before: Holding, plan: Mapping[str, int], ready: Mapping[str, int], carries: Carries) -> Holding:
    """Return what to want, given a new plan and the replicas that are Ready.

    Without any load the plan is `min_replicas` of each type, and is reached like every other.
    """
    wanted = (*before.wanted, plan)[-AGREEING:]
    names = list(dict.fromkeys([*before.replicas, *plan]))
    replicas = {name: max(before.replicas.get(name, 0), plan.get(name, 0)) for name in names}
    starting = [name for name in names if ready.get(name, 0) < plan.get(name, 0)]
    held: dict[str, str] = {}
    for name in names:
        if replicas[name] <= plan.get(name, 0):
            continue
        if len(wanted) < AGREEING:
            held[name] = f"{AGREEING - len(wanted)} more plans must agree"
        elif starting:
            held[name] = f"waiting for {', '.join(starting)} to be ready"
        else:
            replicas[name] = _shrunk(name, max(each.get(name, 0) for each in wanted), replicas, carries)
            if replicas[name] > plan.get(name, 0):
                held[name] = f"{replicas[name] - 1} would not do for the load, or for one of the last {AGREEING} plans"
    return Holding(replicas, wanted, held)


def _shrunk(name: str, floor: int, replicas: Mapping[str, int], carries: Carries) -> int:
    """Return the fewest replicas of a type, not below the floor, that with the others carry the load."""
    count = replicas[name]
    while count > floor and carries({**replicas, name: count - 1}):
        count -= 1
    return count
