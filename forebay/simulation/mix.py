"""`forebay simulate --mix`: the closed loop in virtual time, from traffic to replicas of several GPU types and back.

Gateways count, the optimizer's decider plans, replicas start and drain as planned, and requests are routed by the plan.
Beside the mix each type is replayed alone, planned by the same rules: the best of them is what the mix is worth.

A replay begins with the replicas that are planned for the first minute of its traffic.  A decision takes no time, and
what gateways count is known at once.

Lives here: what is replayed, the loop.  Not here: the decisions (optimizer.planning), replicas (elastic_fleet),
counting (mix_traffic), the table and the page (mix_report).
"""

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import click

from forebay.local.extras import require
from forebay.local.mix.gpu_types import MOST_REPLICAS, GpuType
from forebay.local.mix.profiles import profile_of
from forebay.simulation import mix_report
from forebay.simulation.comparison import scrape_of
from forebay.simulation.elastic_fleet import ElasticFleet
from forebay.simulation.elastic_router import ElasticRouter
from forebay.simulation.mix_traffic import WindowCounts
from forebay.simulation.replicas import Gateway
from gateway.config.limits import LimitSettings
from gateway.config.settings import RoutingSettings, ScrapeSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.hints import plan_of
from gateway.fleet.ticket import Ticket
from optimizer.planning.decider import Decider, Policy
from optimizer.planning.what_if import Request, windows_of
from optimizer.profiles.capacity import Slo as PlannedSlo
from optimizer.profiles.profile import Profile
from simulator.replay import baselines, shapes, traces
from simulator.replay.admission import Admission
from simulator.replay.replay import MODEL, Replay, VirtualTime
from simulator.replay.scraping import Scraping
from simulator.replay.summary import Slo, summarize
from simulator.replay.traces import TraceRequest
from traffic.hint_store import LIFE_S
from traffic.window import WINDOW_S

DECIDE_S = 30.0
"""Seconds between two decisions, as the optimizer's."""
JUMP = 0.25
"""A rate that changes by this part is decided on at once."""
FIRST_S = 60.0
"""The replicas at the beginning are planned for so much of the traffic."""
IDLE_S = 300.0
"""Seconds without requests after which deployments have their least replicas, as the optimizer's."""
TAIL_S = IDLE_S + 2 * DECIDE_S
"""Seconds after the last arrival that are replayed and paid for: until all replicas have ended that end."""


@dataclass(frozen=True, slots=True)
class MixOptions:
    """The options of the command line."""

    gpus: tuple[GpuType, ...]
    traces: Sequence[Path]
    shapes: Sequence[str]
    strategies: Sequence[str]
    slo: Slo
    startup_s: float
    seed: int
    report: Path | None


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to serve the traffic: these types, routed by this strategy."""

    name: str
    gpus: tuple[GpuType, ...]
    strategy: str


def run(options: MixOptions) -> None:
    """Replay, print the tables and write the requested page.

    Raises ValueError for invalid options, OSError for files and MissingExtraError for plots without matplotlib.
    """
    if options.report:
        require("forebay simulate --report", "simulate", "matplotlib")
    comparisons = [compare(options, name, trace) for name, trace in _traffic(options)]
    click.echo("\n\n".join([*map(mix_report.table, comparisons), mix_report.NOTE]))
    if options.report:
        mix_report.write(comparisons, options.report)


def _traffic(options: MixOptions) -> Iterator[tuple[str, Sequence[TraceRequest]]]:
    for path in options.traces:
        yield path.name, traces.read(path)
    for shape in options.shapes:
        yield shape, shapes.generate(shape, options.seed)


def compare(options: MixOptions, name: str, trace: Sequence[TraceRequest]) -> mix_report.MixComparison:
    """Replay a trace on the mix, with each strategy, and on each type alone."""
    if not trace:
        raise ValueError(f"{name}: has no requests")
    profiles = {gpu.deployment: profile_of(gpu) for gpu in options.gpus}
    variants = [Variant(f"mix, {strategy}", options.gpus, strategy) for strategy in options.strategies]
    if len(options.gpus) > 1:
        variants += [Variant(f"{gpu.label} only", (alone(gpu),), options.strategies[0]) for gpu in options.gpus]
    runs = [_Loop(options, variant, profiles, trace).run(f"{name}: {variant.name}") for variant in variants]
    return mix_report.MixComparison(name, options.slo, len(options.strategies), runs)


def alone(gpu: GpuType) -> GpuType:
    """Return a type as it must be without others: one replica is always there, and as many as it takes."""
    return replace(gpu, min_replicas=max(1, gpu.min_replicas), max_replicas=MOST_REPLICAS)


class _Loop:
    """One replay."""

    def __init__(
        self, options: MixOptions, variant: Variant, profiles: Mapping[str, Profile], trace: Sequence[TraceRequest]
    ) -> None:
        self._options, self._variant, self._profiles, self._trace = options, variant, profiles, trace
        self._time = VirtualTime()
        self._fleet = ElasticFleet(variant.gpus, options.startup_s, self._time)
        slo = PlannedSlo(options.slo.ttft_s, options.slo.itl_s)
        self._decider = Decider(Policy(slo=slo, idle_s=IDLE_S))
        self._until_s = trace[-1].timestamp / 1000 + TAIL_S
        self._decided_s, self._decided_rate = 0.0, 0.0
        self._unserved = self._demanded = 0.0
        self._moments: list[mix_report.Moment] = []
        self._gateway = self._made_gateway()
        self._scraping = Scraping(
            (), [scrape_of(self._gateway.fleet, self._fleet.engines)], ScrapeSettings().interval_s
        )
        self._router = ElasticRouter(self._gateway, self._fleet, self._scraping, WindowCounts())
        self._begin()

    def _begin(self) -> None:
        """Start the replicas that the first minute needs, at least one."""
        first = [Request(row.timestamp / 1000, row.input_length, row.output_length) for row in self._trace]
        for number, window in enumerate(islice(windows_of(first), int(FIRST_S / WINDOW_S))):
            self._decider.learn(replace(window, starts_at_s=number * WINDOW_S - FIRST_S))
        self._decide(0.0, startup_s=0.0)
        if not self._fleet.engines:
            self._fleet.adjust(min(self._variant.gpus, key=lambda gpu: gpu.cost), 1, 0.0, startup_s=0.0)

    def _made_gateway(self) -> Gateway:
        options = self._options
        settings = RoutingSettings(
            strategy=self._variant.strategy, slo_ttft_s=options.slo.ttft_s, slo_itl_s=options.slo.itl_s
        )
        rng = random.Random(options.seed)  # noqa: S311 - spreads load, keeps no secret
        return Gateway(Fleet(settings, rng, build=baselines.build), settings, self._time)

    def run(self, label: str) -> mix_report.MixRun:
        """Replay the trace; return its measures."""
        replay: Replay[Ticket] = Replay(
            trace=self._trace, engines=self._fleet.engines, router=self._router, time=self._time,
            strategy=self._variant.strategy, admission=Admission({}, LimitSettings().output_tokens),
            scraping=self._scraping,
        )  # fmt: skip
        self._router.discover(0.0)
        self._time.set(WINDOW_S, self._tick)
        length = len(self._trace)
        with click.progressbar(length=length, label=label, file=sys.stderr, update_min_steps=length // 200) as bar:
            calls = replay.run(bar.update)
        totals = {pod: engine.totals for pod, engine in self._fleet.engines.items()}
        summary = summarize(self._variant.name, 1.0, calls, totals, self._options.slo)
        hours = self._until_s / 3600
        return mix_report.MixRun(
            summary,
            [gpu.deployment for gpu in self._variant.gpus],
            self._fleet.paid(self._until_s) / hours,
            self._fleet.mean(self._until_s),
            self._unserved / self._demanded if self._demanded else 0.0,
            self._fleet.started,
            mix_report.long_prompts(calls, self._fleet.deployment_of),
            self._moments,
        )

    def _tick(self, now_s: float) -> None:
        """End a window: learn from it, and decide when it is time or the rate has jumped."""
        window = self._router.counts.window(now_s, self._router.in_flight, self._router.waiting)
        self._decider.learn(window)
        rate = window.arrivals / window.duration_s
        if now_s - self._decided_s >= DECIDE_S or abs(rate - self._decided_rate) > JUMP * self._decided_rate:
            self._decide(now_s)
            self._decided_s, self._decided_rate = now_s, rate
        replicas = {each.name: each.replicas for each in self._fleet.deployments()}
        self._moments.append(mix_report.Moment(now_s, rate, replicas))
        if now_s + WINDOW_S <= self._until_s:
            self._time.set(now_s + WINDOW_S, self._tick)

    def _decide(self, now_s: float, startup_s: float | None = None) -> None:
        deployments = self._fleet.deployments()
        decision = self._decider.decide(now_s, deployments, self._profiles)
        if (unserved := decision.unserved_rate) is not None:
            self._unserved += unserved
            self._demanded += decision.demand.rate
        if decision.hint is not None:
            self._gateway.fleet.plans.put(MODEL, plan_of(decision.hint, now_s + LIFE_S))
        for gpu, deployment in zip(self._fleet.gpus, deployments, strict=True):
            self._fleet.adjust(gpu, decision.replicas[deployment.key], now_s, startup_s)
