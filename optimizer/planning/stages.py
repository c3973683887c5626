"""Sentences for operators: the state of each stage from traces to the plan, and what stays unserved.

Lives here: words.  Not here: what they tell of.
"""

from collections.abc import Iterator, Sequence
from math import fsum

from optimizer.planning.cases import Grid
from optimizer.planning.demand import Demand
from optimizer.planning.fleet import Fleet
from optimizer.planning.hearing import Heard
from optimizer.solver.case import Case
from optimizer.solver.plan import Plan

SHOWN = 5
"""Buckets that are named; of more the number is told."""


def stages_of(
    traces: str, fleet: Fleet, demand: Demand, held: Sequence[str], solved: tuple[Case, Plan] | None = None
) -> dict[str, str]:
    """Return the state of each stage, by its name; without a plan its stages are left out."""
    stages = {
        "traces": traces,
        "profiles": _profiles(fleet),
        "replicas": ", ".join(
            f"{key}: {each.ready} of {each.replicas} ready" for key, each in fleet.deployments.items()
        ),
        "demand": f"{demand.rate:.3g} req/s ({demand.backlog_rate:.3g} of them drain a backlog)",
    }
    if solved:
        stages["coverage"] = _coverage(*solved)
        stages["plan"] = f"cost {solved[1].cost:.6g} per hour, gap {solved[1].gap:.2g}, by {solved[1].solver}"
    return stages | {"held": "; ".join(held) or "nothing"}


def traces_of(heard: Heard, now_s: float) -> str:
    """Return the state of the traces."""
    if heard.ends_at_s is None:
        return "none"
    idle = f", no requests for {heard.idle_s:.0f} s" if heard.idle_s else ""
    return f"the last window ended {now_s - heard.ends_at_s:.0f} s ago, writers: {heard.writers}{idle}"


def _profiles(fleet: Fleet) -> str:
    found = f"{len(fleet.profiles)} of {len(fleet.deployments)} deployments"
    return f"{found} ({'; '.join(fleet.unplanned)})" if fleet.unplanned else found


def _coverage(case: Case, plan: Plan) -> str:
    rate = fsum(case.rates)
    return f"{1 - case.lost(plan.unserved) / rate if rate else 1:.2%}"


def unserved_of(case: Case, plan: Plan, grid: Grid) -> Iterator[str]:
    """Yield a line for each bucket that the plan leaves unserved, those with most requests first."""
    pairs = enumerate(zip(case.rates, plan.unserved, strict=True))
    lost = sorted(((rate * share, bucket) for bucket, (rate, share) in pairs if rate * share > 0), reverse=True)
    for rate, bucket in lost[:SHOWN]:
        why = "bounds leave them out" if bucket in case.carriers else "no deployment serves them inside the SLO"
        of = grid.buckets[bucket]
        tokens = f"{of.input_tokens:.0f} input, {of.output_tokens:.0f} output tokens"
        yield f"unserved: {rate:.3g} req/s of about {tokens}: {why}"
    if lost[SHOWN:]:
        yield f"unserved: {fsum(rate for rate, _ in lost[SHOWN:]):.3g} req/s of {len(lost) - SHOWN} more buckets"
