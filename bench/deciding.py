"""A noisy day of traffic under several policies of deciding: changes, shortages, cost.

A pure simulation: windows of 10 s, decisions every 30 s, replicas that take 2 minutes to start and stop at once.  Rates
follow the day, drift and have bursts; lengths move between chats and long documents.  A tick is short of capacity when
the ready replicas cannot carry its true demand at the profiled throughputs, however requests are routed.

Lives here: the day, the fleet and the table.  `python -m bench.deciding` prints it (docs/optimizer.md).
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import click

from bench.tables import table
from optimizer.planning.cases import Grid, grid_of, offer_of
from optimizer.planning.decider import Decider, Policy
from optimizer.planning.demand import Demand
from optimizer.planning.deployments import Deployment
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from optimizer.solver.case import Case, GpuType
from optimizer.solver.shares import split
from traffic.window import WINDOW_S, Lengths, Window, index_of

HOURS = 8.0
"""A day in so many: its rise and fall are three times as fast as in truth."""
DECIDE_S = 30.0
START_S = 120.0
"""Seconds from a decision to a replica that serves (chosen: an engine that loads 10 GB)."""
MEAN_RATE = 40.0
WARM_TICKS = 20
"""Ticks that are not measured: the day begins without replicas."""
SHORT = 1e-6
"""A tick that loses less of its requests than this is not short."""
TYPES = (
    ("l4", 0.8, 5_000.0, 350.0, 8_192),
    ("l20", 1.2, 12_000.0, 700.0, 16_384),
    ("a100", 3.6, 30_000.0, 2_400.0, 32_768),
    ("h100", 7.0, 70_000.0, 4_500.0, 131_072),
)
"""Name, cost per hour, tokens per second of prefill and of decoding, longest request: about equally dear alone."""
INPUTS = tuple(2.0**n for n in range(4, 16))
OUTPUTS = tuple(2.0**n for n in range(3, 12))
BEFORE = Policy(margin=1.0, survivors_utilisation=1.0, agreeing_plans=1, most_agreeing_plans=1, weigh_changes=False)
"""Every plan is followed at once; only what is not ready yet is waited for."""
POLICIES = {
    "every plan": BEFORE,
    "10 % headroom": replace(BEFORE, utilisation=1 / 1.1),
    "changes cost 15 %": replace(BEFORE, weigh_changes=True),
    "headroom, changes cost": replace(BEFORE, utilisation=1 / 1.1, weigh_changes=True),
    "and 3 plans agree": replace(BEFORE, utilisation=1 / 1.1, weigh_changes=True, agreeing_plans=3),
    "and survivors at 90 %": Policy(margin=1.0, utilisation=1 / 1.1, most_agreeing_plans=1),
    "and regrets count": Policy(margin=1.0, utilisation=1 / 1.1),
    "the default: margin 1.5": Policy(),
}


@dataclass(frozen=True, slots=True)
class Tick:
    """The traffic of one decision period, and what it truly was at its end."""

    windows: tuple[Window, ...]
    demand: Demand


@dataclass(frozen=True, slots=True)
class DaySample:
    """A policy's day."""

    policy: str
    changes: int
    short: float
    """Share of ticks that were short of capacity."""
    unserved: float
    """Mean share of requests that the ready replicas could not carry."""
    cost: float
    """Money of the whole day."""


@dataclass(slots=True)
class _Fleet:
    """Replicas that were asked for, and when those that start will be ready, by deployment."""

    asked: dict[str, int] = field(default_factory=dict)
    starting: dict[str, list[float]] = field(default_factory=dict)
    changes: int = 0

    def follow(self, replicas: dict[str, int], now_s: float) -> None:
        """Start and stop replicas; those that are starting stop first."""
        for key, n in replicas.items():
            since, starting = self.asked.get(key, 0), self.starting.setdefault(key, [])
            self.changes += abs(n - since)
            starting += [now_s + START_S] * (n - since)
            del starting[max(0, len(starting) - max(0, since - n)) :]
            self.asked[key] = n

    def ready(self, key: str, now_s: float) -> int:
        """Return the replicas that serve."""
        return self.asked.get(key, 0) - sum(at_s > now_s for at_s in self.starting.get(key, []))


def profiles() -> dict[str, Profile]:
    """Return a profile of each type; a request takes its share of prefill and decoding."""
    return {
        name: Profile(
            name,
            cost,
            OUTPUTS,
            INPUTS,
            tuple(tuple(0.0 if i + o > longest else 1 / (i / prefill + o / decode) for i in INPUTS) for o in OUTPUTS),
            Slo(),
        )
        for name, cost, prefill, decode, longest in TYPES
    }


def a_day(seed: int, hours: float) -> Iterator[Tick]:
    """Yield the ticks of a day that lasts so many hours: a short one rises and falls faster."""
    day_s = hours * 3600
    rng, drift, burst_until_s = random.Random(seed), 0.0, 0.0
    for tick in range(round(day_s / DECIDE_S)):
        at_s = tick * DECIDE_S
        drift = 0.98 * drift + 0.02 * rng.gauss(0.0, 1.0)
        if rng.random() < 1 / 240:
            burst_until_s = at_s + rng.uniform(60.0, 600.0)
        level = 1.0 - 0.7 * math.cos(2 * math.pi * at_s / day_s)
        rate = MEAN_RATE * level * math.exp(drift) * (1.6 if at_s < burst_until_s else 1.0)
        documents = 0.15 + 0.1 * math.sin(4 * math.pi * at_s / day_s)
        windows = tuple(_window(rng, rate, documents, at_s + n * WINDOW_S) for n in range(round(DECIDE_S / WINDOW_S)))
        yield Tick(windows, Demand(rate, _lengths(documents)))


def _window(rng: random.Random, rate: float, documents: float, starts_at_s: float) -> Window:
    """Return a window whose arrivals are Poisson, by their normal approximation."""
    arrivals = max(0, round(rng.gauss(rate * WINDOW_S, math.sqrt(rate * WINDOW_S))))
    counts: dict[Lengths, int] = {}
    shares = _lengths(documents)
    for lengths in rng.choices(list(shares), list(shares.values()), k=arrivals):
        counts[lengths] = counts.get(lengths, 0) + 1
    return Window(WINDOW_S, arrivals, counts, starts_at_s=starts_at_s)


def _lengths(documents: float) -> dict[Lengths, float]:
    """Return the shares of lengths: log-normal chats and documents, in halves of a doubling."""
    shares: dict[Lengths, float] = {}
    for part, into, out in ((1 - documents, 8.0, 7.5), (documents, 12.0, 8.5)):
        for i in range(-5, 6):
            for o in range(-5, 6):
                lengths = index_of(round(2 ** (into + i / 2))), index_of(round(2 ** (out + o / 2)))
                shares[lengths] = shares.get(lengths, 0.0) + part * math.exp(-(i * i + o * o) / 8)
    total = math.fsum(shares.values())
    return {lengths: share / total for lengths, share in shares.items()}


def measure_day(name: str, policy: Policy, ticks: Sequence[Tick]) -> DaySample:
    """Return a policy's day."""
    decider, fleet, found = Decider(policy), _Fleet(), profiles()
    short, unserved, cost = 0, 0.0, 0.0
    for number, tick in enumerate(ticks, start=1):
        for window in tick.windows:
            decider.learn(window)
        now_s = tick.windows[-1].starts_at_s + WINDOW_S
        running = [
            Deployment("day", name, "m", fleet.asked.get(f"day/{name}", 0), fleet.ready(f"day/{name}", now_s))
            for name in found
        ]
        missing = _missing(tick.demand, found, [each.ready for each in running])
        short += missing > SHORT
        unserved += missing
        fleet.follow(dict(decider.decide(now_s, running, found).replicas), now_s)
        if number == WARM_TICKS:
            fleet.changes, short, unserved, cost = 0, 0, 0.0, 0.0
        cost += sum(fleet.asked[each.key] * found[each.name].cost for each in running) * DECIDE_S / 3600
    measured = len(ticks) - WARM_TICKS + 1
    return DaySample(name, fleet.changes, short / measured, unserved / measured, cost)


def _missing(demand: Demand, found: dict[str, Profile], ready: Sequence[int]) -> float:
    """Return the share of requests that the ready replicas cannot carry."""
    grid: Grid = grid_of(demand)
    types = tuple(
        GpuType(name, 1.0, offer_of(profile, grid.buckets, None, 1.0).throughput) for name, profile in found.items()
    )
    case = Case(types, tuple(bucket.rate for bucket in grid.buckets))
    draft = split(case, ready)
    return case.lost(draft.unserved) / demand.rate if draft else 1.0


HEADER = ("policy", "cost", "replica changes", "ticks short", "unserved")


def rows(samples: Sequence[DaySample]) -> Iterator[Sequence[str]]:
    """Yield a row per policy; the first costs 100."""
    for each in samples:
        yield (
            each.policy,
            f"{100 * each.cost / samples[0].cost:.1f}",
            str(each.changes),
            f"{each.short:.1%}",
            f"{each.unserved:.3%}",
        )


def measure(progress: Callable[[str], None], hours: float = HOURS, seed: int = 1) -> list[DaySample]:
    """Measure all policies on the same day; about half a minute each."""
    ticks = list(a_day(seed, hours))
    samples = []
    for name, policy in POLICIES.items():
        progress(f"deciding: {name}")
        samples.append(measure_day(name, policy, ticks))
    return samples


@click.command()
@click.option("--hours", default=HOURS, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(hours: float, seed: int) -> None:
    """Print the table."""
    click.echo(table(HEADER, rows(measure(lambda line: click.echo(line, err=True), hours, seed))))


if __name__ == "__main__":
    main()
