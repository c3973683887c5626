"""`forebay simulate`: the gateway's own fleet and limiter on a trace and engine models.

Lives here: putting the parts together, files, the progress bar.  Not here: the parts (simulator).
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
from routing.pods.sums import Sums
from routing.strategies.forebay import Forebay
from routing.types import Endpoint, NoCandidateError, PodId, RouteRequest, Signal
from simulator.calibration.gpu_file import load_gpu
from simulator.core.engine import Engine
from simulator.replay import assignments, report, traces, yardsticks
from simulator.replay.admission import Admission, dealt, parse_users
from simulator.replay.outages import Outage
from simulator.replay.replay import MODEL, Call, Replay, VirtualTime
from simulator.replay.scraping import AllSeeing, Scraping
from simulator.replay.summary import Slo, Summary, summarize


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for on the command line."""

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
    scrape_s: float = ScrapeSettings().interval_s  # 0 = engines are never asked
    all_seeing: bool = False  # replay once more, all engines being asked before every decision


def run(plan: Plan) -> None:
    """Replay, print the table, write what was asked for.

    Raises ValueError for what the plan has wrong, OSError for files and MissingExtraError for plots without matplotlib.
    """
    if plan.report:
        require("forebay simulate --report", "simulate", "matplotlib")
    comparison = Comparer(plan).compare()
    click.echo(report.table(comparison))
    if plan.report:
        _write_report(comparison, plan.report)


class Comparer:
    """Replays the plan's trace for each speedup and strategy."""

    def __init__(self, plan: Plan) -> None:
        for strategy in plan.strategies:
            yardsticks.check(strategy)
        for speedup in plan.speedups:
            if not 0 < speedup < inf:
                raise ValueError(f"speedup = {speedup:g}, must be a positive number")
        for outage in plan.outages:
            if outage.pod not in map(_pod_name, range(plan.pods)):
                raise ValueError(f"fault on {outage.pod!r}: pods are pod-0 to pod-{plan.pods - 1}")
        self._plan = plan
        self._profile = load_gpu(plan.gpu)
        self._users = parse_users(plan.users)
        self._trace = dealt(traces.read(plan.trace), self._users)

    def compare(self) -> report.Comparison:
        """All replays, and the ceilings of reuse."""
        plan, profile = self._plan, self._profile
        summaries = list(self._summaries())
        pooled, endless = (
            yardsticks.reuse(self._trace, profile.block_tokens, blocks)
            for blocks in (profile.kv_blocks * plan.pods, None)
        )
        title = f"{plan.trace.name} on {plan.pods} pods of {plan.gpu}"
        return report.Comparison(title, plan.slo, report.Ceilings(pooled, endless), summaries)

    def _summaries(self) -> Iterator[Summary]:
        for speedup in self._plan.speedups:
            for strategy in self._plan.strategies:
                yield self._replay(strategy, speedup)
                if self._plan.all_seeing:
                    yield self._replay(strategy, speedup, all_seeing=True)

    def _replay(self, strategy: str, speedup: float, *, all_seeing: bool = False) -> Summary:
        endpoints = [_endpoint(index) for index in range(self._plan.pods)]
        engines = {endpoint.id: Engine(self._profile) for endpoint in endpoints}
        rng = random.Random(self._plan.seed)  # noqa: S311 - spreads load, keeps no secret
        slo = self._plan.slo
        routing = RoutingSettings(strategy=strategy, slo_ttft_s=slo.ttft_s, slo_itl_s=slo.itl_s)
        fleet = Fleet(routing, rng, build=yardsticks.build)
        fleet.replace(FleetDescription({MODEL: ModelPolicy()}, tuple(endpoints)))
        scraping = self._scraping(fleet, engines, all_seeing=all_seeing)
        admission = Admission(self._users, LimitSettings().output_tokens)
        time = VirtualTime()
        router = Gateway(fleet, routing, time)
        promised = fleet.slo(MODEL) if self._plan.keep_slo or strategy == Forebay.name else None
        replay = Replay(
            trace=self._trace, engines=engines, router=router, time=time, strategy=strategy, admission=admission,
            speedup=speedup, outages=self._plan.outages, scraping=scraping, slo=promised,
        )  # fmt: skip
        name = f"{strategy}, all-seeing" if all_seeing else strategy
        label, requests = f"{name} {speedup:g}x", len(self._trace)
        with click.progressbar(length=requests, label=label, file=sys.stderr, update_min_steps=requests // 200) as bar:
            calls = replay.run(bar.update)
        self._write_assignments(calls, name, speedup)
        totals = {pod: engine.totals for pod, engine in engines.items()}
        return summarize(name, speedup, calls, totals, self._plan.slo)

    def _scraping(self, fleet: Fleet, engines: Mapping[PodId, Engine], *, all_seeing: bool) -> Scraping:
        """All are asked when they are new, as the gateway does it."""

        def ask(pod: PodId, now_s: float) -> None:
            fleet.apply_readings(pod, _readings(engines[pod]), now_s, now_s + ScrapeSettings().stale_after_s)

        for pod in engines:
            ask(pod, 0.0)
        return AllSeeing(engines, ask) if all_seeing else Scraping(engines, ask, self._plan.scrape_s or inf)

    def _write_assignments(self, calls: Sequence[Call], name: str, speedup: float) -> None:
        plan, file = self._plan, self._plan.assignments
        if file is None:
            return
        if plan.all_seeing or len(plan.strategies) * len(plan.speedups) > 1:  # one file per replay
            file = file.with_stem(f"{file.stem}-{name.replace(', ', '-')}-{speedup:g}x")
        with file.open("w") as lines:
            assignments.write(calls, lines)


class Gateway:
    """What a replay needs of the gateway: see `simulator.replay.replay.Router`."""

    def __init__(self, fleet: Fleet, settings: RoutingSettings, time: VirtualTime) -> None:
        self.queue = AdmissionQueue(fleet, settings, time)
        self._fleet = fleet
        self.release, self.finish, self.set_health = self.queue.release, self.queue.finish, fleet.set_health

    def enter(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[Outcome], None]) -> None:
        """Without a promise nothing waits."""
        if request.slo is not None:
            self.queue.enter(QueuedRequest(request, request.slo, strategy, tell), now_s)
            return
        try:
            tell(self._fleet.route(request, strategy, now_s))
        except NoCandidateError as error:
            tell(error)


def _readings(engine: Engine) -> Readings:
    """What its metrics page would say."""
    totals, blocks = engine.totals, engine.blocks
    return Readings(
        {Signal.RUNNING: len(engine.running), Signal.WAITING: len(engine.waiting), Signal.KV_USAGE: blocks.usage},
        cache_tokens=blocks.total * engine.profile.block_tokens,
        sums=Sums(totals.gaps_s, totals.gaps.total(), totals.ttft_s, totals.first_tokens, totals.prompts, totals.found),
    )


def _endpoint(index: int) -> Endpoint:
    """Addresses from the block for documentation and tests of networks, RFC 2544: nobody connects to them."""
    high, low = divmod(index, 256)
    name = _pod_name(index)
    return Endpoint(name, name, f"198.18.{high}.{low}:8000", (MODEL,))


def _pod_name(index: int) -> str:
    return f"pod-{index}"


def _write_report(comparison: report.Comparison, directory: Path) -> None:
    from simulator.replay import plots  # noqa: PLC0415 - needs the extra `simulate`

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "index.html").write_text(report.page(comparison, plots.draw(comparison, directory)))
