"""`forebay simulate`: replays a trace on engine models with the gateway's own fleet, queue and limits.

Lives here: what is replayed, files, the progress bar.  Not here: the gateway in a replay (replicas), engine models,
traces, the table (simulator).
"""

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import NamedTuple

import click

from forebay.local.extras import require
from forebay.simulation.replicas import Channel, Gateway, Replicas
from gateway.config.limits import LimitSettings
from gateway.config.settings import RoutingSettings, ScrapeSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.discovery.probing.readings import Readings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from routing.pods.engine_totals import EngineTotals
from routing.strategies.forebay import Forebay
from routing.types import Endpoint, PodId, Signal
from simulator.calibration.gpu_file import load_gpu
from simulator.core.engine import Engine
from simulator.replay import assignments, baselines, report, traces
from simulator.replay.admission import Admission, assign_users, parse_users
from simulator.replay.outages import Outage
from simulator.replay.replay import MODEL, Call, Replay, VirtualTime
from simulator.replay.scraping import AllSeeing, Scrape, Scraping
from simulator.replay.summary import Slo, Summary, summarize

DAY_S = 86_400.0
"""Replicas break ties by Redis's clock: at which second of a day a replay begins depends on the seed."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    trace: Path
    pods: int
    gpu: str
    strategies: Sequence[str]
    speedups: Sequence[float]
    users: str
    seed: int
    slo: Slo
    assignments: Path | None
    report: Path | None
    outages: Sequence[Outage] = ()
    keep_slo: bool = False
    scrape_s: float = ScrapeSettings().interval_s  # 0 = engines are never scraped
    all_seeing: bool = False  # replay a second time, with all engines scraped before every decision
    replicas: Sequence[int] = (1,)  # numbers of replicas to compare; several replay with and without sharing


def run(options: Options) -> None:
    """Replay, print the table and write the requested files.

    Raises ValueError for invalid options, OSError for files and MissingExtraError for plots without matplotlib.
    """
    if options.report:
        require("forebay simulate --report", "simulate", "matplotlib")
    comparison = Comparer(options).compare()
    click.echo((report.short_table if max(options.replicas) > 1 else report.table)(comparison))
    if options.report:
        _write_report(comparison, options.report)


class Variant(NamedTuple):
    """A way in which the gateway runs in one replay."""

    replicas: int = 1
    is_sharing: bool = False
    is_all_seeing: bool = False

    @property
    def name(self) -> str:
        """Its difference from one gateway as it is; begins with a comma unless it is empty."""
        together = f", {self.replicas} replicas" if self.replicas > 1 else ""
        alone = " alone" if together and not self.is_sharing else ""
        return f"{together}{alone}{', all-seeing' if self.is_all_seeing else ''}"


class Comparer:
    """Replays the trace for each speedup, strategy and variant."""

    def __init__(self, options: Options) -> None:
        for strategy in options.strategies:
            baselines.check(strategy)
        for speedup in options.speedups:
            if not 0 < speedup < inf:
                raise ValueError(f"speedup = {speedup:g}, must be a positive number")
        for outage in options.outages:
            if outage.pod not in map(_pod_name, range(options.pods)):
                raise ValueError(f"fault on {outage.pod!r}: pods are pod-0 to pod-{options.pods - 1}")
        for replicas in options.replicas:
            if replicas < 1:
                raise ValueError(f"replicas = {replicas}, must be a positive number")
        self._options = options
        self._profile = load_gpu(options.gpu)
        self._users = parse_users(options.users)
        self._trace = assign_users(traces.read(options.trace), self._users)

    def compare(self) -> report.Comparison:
        """Run all replays; return them with the upper bounds of prefix reuse."""
        options, profile = self._options, self._profile
        summaries = list(self._summaries())
        pooled, endless = (
            baselines.reuse(self._trace, profile.block_tokens, blocks)
            for blocks in (profile.kv_blocks * options.pods, None)
        )
        title = f"{options.trace.name} on {options.pods} pods of {options.gpu}"
        return report.Comparison(title, options.slo, report.Ceilings(pooled, endless), summaries)

    def _summaries(self) -> Iterator[Summary]:
        for speedup in self._options.speedups:
            for strategy in self._options.strategies:
                for variant in self._variants:
                    yield self._replay(strategy, speedup, variant)

    @property
    def _variants(self) -> Sequence[Variant]:
        eyes = (False, True) if self._options.all_seeing else (False,)
        return [
            Variant(replicas, is_sharing, is_all_seeing)
            for replicas in self._options.replicas
            for is_sharing in ((True, False) if replicas > 1 else (False,))
            for is_all_seeing in eyes
        ]

    def _replay(self, strategy: str, speedup: float, variant: Variant) -> Summary:
        engines = {_endpoint(index).id: Engine(self._profile) for index in range(self._options.pods)}
        time = VirtualTime()
        gateways = self._gateways(strategy, variant, time)
        fleet = gateways[0].fleet
        promised = fleet.slo(MODEL) if self._options.keep_slo or strategy == Forebay.name else None
        replay = Replay(
            trace=self._trace, engines=engines, router=Replicas(gateways), time=time, strategy=strategy,
            admission=Admission(self._users, LimitSettings().output_tokens), speedup=speedup,
            outages=self._options.outages, scraping=self._scraping(gateways, engines, variant), slo=promised,
        )  # fmt: skip
        name = f"{strategy}{variant.name}"
        label, requests = f"{name} {speedup:g}x", len(self._trace)
        with click.progressbar(length=requests, label=label, file=sys.stderr, update_min_steps=requests // 200) as bar:
            calls = replay.run(bar.update)
        self._write_assignments(calls, name, speedup)
        totals = {pod: engine.totals for pod, engine in engines.items()}
        return summarize(name, speedup, calls, totals, self._options.slo)

    def _gateways(self, strategy: str, variant: Variant, time: VirtualTime) -> Sequence[Gateway]:
        """Return the replicas, each with randomness of its own; the first has that of a single one."""
        slo, seeds = self._options.slo, random.Random(self._options.seed)  # noqa: S311 - spreads load, keeps no secret
        routing = RoutingSettings(strategy=strategy, slo_ttft_s=slo.ttft_s, slo_itl_s=slo.itl_s)
        description = FleetDescription({MODEL: ModelPolicy()}, tuple(map(_endpoint, range(self._options.pods))))
        channel = Channel(time) if variant.is_sharing else None
        clock_s = random.Random(self._options.seed).uniform(0, DAY_S)  # noqa: S311 - the same
        gateways = []
        for number in range(variant.replicas):
            outbox = Outbox(f"{number:012x}") if variant.is_sharing else None
            rng = random.Random(seeds.random() if number else self._options.seed)  # noqa: S311 - the same
            fleet = Fleet(routing, rng, build=baselines.build, outbox=outbox)
            fleet.replace(description)
            if variant.is_sharing:
                fleet.ties.among(number, variant.replicas, clock_s)
            gateways.append(Gateway(fleet, routing, time, outbox, channel))
        return gateways

    def _scraping(self, gateways: Sequence[Gateway], engines: Mapping[PodId, Engine], variant: Variant) -> Scraping:
        """Scrape each new engine at once, as the gateway does."""
        scrapes = [scrape_of(gateway.fleet, engines) for gateway in gateways]
        for scrape in scrapes:
            for pod in engines:
                scrape(pod, 0.0)
        if variant.is_all_seeing:
            return AllSeeing(engines, scrapes)
        return Scraping(engines, scrapes, self._options.scrape_s or inf)

    def _write_assignments(self, calls: Sequence[Call], name: str, speedup: float) -> None:
        options, file = self._options, self._options.assignments
        if file is None:
            return
        if len(self._variants) * len(options.strategies) * len(options.speedups) > 1:  # one file per replay
            file = file.with_stem(f"{file.stem}-{name.replace(', ', '-').replace(' ', '-')}-{speedup:g}x")
        with file.open("w") as lines:
            assignments.write(calls, lines)


def scrape_of(fleet: Fleet, engines: Mapping[PodId, Engine]) -> Scrape:
    """Return a gateway's scrape of these engines, of which there may be more later."""

    def scrape(pod: PodId, now_s: float) -> None:
        fleet.apply_readings(pod, _readings(engines[pod]), now_s, now_s + ScrapeSettings().stale_after_s)

    return scrape


def _readings(engine: Engine) -> Readings:
    """Return what the engine's metrics page would say."""
    totals, blocks = engine.totals, engine.blocks
    return Readings(
        {Signal.RUNNING: len(engine.running), Signal.WAITING: len(engine.waiting), Signal.KV_USAGE: blocks.usage},
        cache_tokens=blocks.total * engine.profile.block_tokens,
        totals=EngineTotals(
            totals.itl_sum_s,
            totals.itl_count,
            totals.ttft_sum_s,
            totals.ttft_count,
            totals.prompt_tokens,
            totals.cached_tokens,
        ),
    )


def _endpoint(index: int) -> Endpoint:
    """Return an endpoint with an address from the block for benchmarks (RFC 2544); no connection is made to it."""
    high, low = divmod(index, 256)
    name = _pod_name(index)
    return Endpoint(name, name, f"198.18.{high}.{low}:8000", (MODEL,))


def _pod_name(index: int) -> str:
    return f"pod-{index}"


def _write_report(comparison: report.Comparison, directory: Path) -> None:
    from simulator.replay import plots  # noqa: PLC0415 - needs the extra `simulate`

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "index.html").write_text(report.page(comparison, plots.draw(comparison, directory)))
