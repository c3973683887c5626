"""`forebay simulate`: replays a trace on engine models with the gateway's own fleet, queue and limits.

Lives here: joining gateway and simulator, files, the progress bar.  Not here: engine models, traces, the table
(simulator).
"""

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import click

from forebay.local.extras import require
from gateway.admission.queue import AdmissionQueue, Outcome, QueuedRequest
from gateway.config.settings import LimitSettings, RoutingSettings, ScrapeSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.discovery.probing.readings import Readings
from gateway.fleet.fleet import Fleet
from routing.pods.engine_totals import EngineTotals
from routing.strategies.forebay import Forebay
from routing.types import Endpoint, NoCandidateError, PodId, RouteRequest, Signal
from simulator.calibration.gpu_file import load_gpu
from simulator.core.engine import Engine
from simulator.replay import assignments, baselines, report, traces
from simulator.replay.admission import Admission, assign_users, parse_users
from simulator.replay.outages import Outage
from simulator.replay.replay import MODEL, Call, Replay, VirtualTime
from simulator.replay.scraping import AllSeeing, Scraping
from simulator.replay.summary import Slo, Summary, summarize


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


def run(options: Options) -> None:
    """Replay, print the table and write the requested files.

    Raises ValueError for invalid options, OSError for files and MissingExtraError for plots without matplotlib.
    """
    if options.report:
        require("forebay simulate --report", "simulate", "matplotlib")
    comparison = Comparer(options).compare()
    click.echo(report.table(comparison))
    if options.report:
        _write_report(comparison, options.report)


class Comparer:
    """Replays the trace for each speedup and strategy."""

    def __init__(self, options: Options) -> None:
        for strategy in options.strategies:
            baselines.check(strategy)
        for speedup in options.speedups:
            if not 0 < speedup < inf:
                raise ValueError(f"speedup = {speedup:g}, must be a positive number")
        for outage in options.outages:
            if outage.pod not in map(_pod_name, range(options.pods)):
                raise ValueError(f"fault on {outage.pod!r}: pods are pod-0 to pod-{options.pods - 1}")
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
                yield self._replay(strategy, speedup)
                if self._options.all_seeing:
                    yield self._replay(strategy, speedup, all_seeing=True)

    def _replay(self, strategy: str, speedup: float, *, all_seeing: bool = False) -> Summary:
        endpoints = [_endpoint(index) for index in range(self._options.pods)]
        engines = {endpoint.id: Engine(self._profile) for endpoint in endpoints}
        rng = random.Random(self._options.seed)  # noqa: S311 - spreads load, keeps no secret
        slo = self._options.slo
        routing = RoutingSettings(strategy=strategy, slo_ttft_s=slo.ttft_s, slo_itl_s=slo.itl_s)
        fleet = Fleet(routing, rng, build=baselines.build)
        fleet.replace(FleetDescription({MODEL: ModelPolicy()}, tuple(endpoints)))
        scraping = self._scraping(fleet, engines, all_seeing=all_seeing)
        admission = Admission(self._users, LimitSettings().output_tokens)
        time = VirtualTime()
        router = Gateway(fleet, routing, time)
        promised = fleet.slo(MODEL) if self._options.keep_slo or strategy == Forebay.name else None
        replay = Replay(
            trace=self._trace, engines=engines, router=router, time=time, strategy=strategy, admission=admission,
            speedup=speedup, outages=self._options.outages, scraping=scraping, slo=promised,
        )  # fmt: skip
        name = f"{strategy}, all-seeing" if all_seeing else strategy
        label, requests = f"{name} {speedup:g}x", len(self._trace)
        with click.progressbar(length=requests, label=label, file=sys.stderr, update_min_steps=requests // 200) as bar:
            calls = replay.run(bar.update)
        self._write_assignments(calls, name, speedup)
        totals = {pod: engine.totals for pod, engine in engines.items()}
        return summarize(name, speedup, calls, totals, self._options.slo)

    def _scraping(self, fleet: Fleet, engines: Mapping[PodId, Engine], *, all_seeing: bool) -> Scraping:
        """Scrape each new engine at once, as the gateway does."""

        def ask(pod: PodId, now_s: float) -> None:
            fleet.apply_readings(pod, _readings(engines[pod]), now_s, now_s + ScrapeSettings().stale_after_s)

        for pod in engines:
            ask(pod, 0.0)
        return AllSeeing(engines, ask) if all_seeing else Scraping(engines, ask, self._options.scrape_s or inf)

    def _write_assignments(self, calls: Sequence[Call], name: str, speedup: float) -> None:
        options, file = self._options, self._options.assignments
        if file is None:
            return
        if options.all_seeing or len(options.strategies) * len(options.speedups) > 1:  # one file per replay
            file = file.with_stem(f"{file.stem}-{name.replace(', ', '-')}-{speedup:g}x")
        with file.open("w") as lines:
            assignments.write(calls, lines)


class Gateway:
    """The gateway as a replay sees it; implements `simulator.replay.replay.Router`."""

    def __init__(self, fleet: Fleet, settings: RoutingSettings, time: VirtualTime) -> None:
        self.queue = AdmissionQueue(fleet, settings, time)
        self._fleet = fleet
        self.release, self.finish, self.set_health = self.queue.release, self.queue.finish, fleet.set_health

    def enter(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]) -> None:
        """Route the request, through the queue when its model promises an SLO; without one nothing waits."""
        if request.slo is not None:
            self.queue.enter(QueuedRequest(request, request.slo, strategy, tell), now_s)
            return
        try:
            tell(self._fleet.route(request, strategy, now_s))
        except NoCandidateError as error:
            tell(error)


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
