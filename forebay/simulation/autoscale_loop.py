"""One replay of traffic on a fleet that an autoscaler grows and shrinks, in virtual time.

Pods that are ordered serve after the start-up time; pods that are let go of end what they have.  A decision takes no
time, and what pods and gateways count is known at once.

Lives here: the loop.  Not here: decisions (autoscaling), observations (autoscale_readings), replicas (elastic_fleet).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoscaling.decision import Decision, Strategy
from autoscaling.observation import Observation
from forebay.local.mix.gpu_types import MOST_REPLICAS, GpuType
from forebay.simulation.autoscale_readings import ArrivalCounts, LatencyCounts, observation
from forebay.simulation.comparison import scrape_of
from forebay.simulation.elastic_fleet import ElasticFleet, Replica
from forebay.simulation.elastic_router import ElasticRouter
from forebay.simulation.replicas import Gateway
from gateway.config.limits import LimitSettings
from gateway.config.pools import PoolSettings
from gateway.config.settings import RoutingSettings, ScrapeSettings
from gateway.fleet.fleet import Fleet
from routing.strategies.forebay import Forebay
from simulator.core.gpus import GpuProfile
from simulator.replay import baselines
from simulator.replay.admission import Admission
from simulator.replay.replay import MODEL, Call, Replay, VirtualTime
from simulator.replay.scraping import Scraping
from simulator.replay.summary import Slo
from simulator.replay.traces import TraceRequest

ROUTING = "least-request"
"""The gateway's strategy where none is named: the autoscaler alone decides what is in time."""
FIRST_TICK_S = 1.0
"""Time of the first decision: after a second something has arrived."""
SHORTEST_TICK_S = 0.1
"""Shortest time between two decisions."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that several strategies are compared on."""

    name: str
    trace: Sequence[TraceRequest]
    until_s: float
    """End of the traffic: until then replicas are decided on and paid for."""
    profile: GpuProfile
    startup_s: float
    slo: Slo
    routing: str
    """The gateway's strategy; that of Forebay queues and refuses to keep the SLO."""
    seed: int
    pools: Sequence[PoolSettings] = ()
    """Filled in the order of their priorities and emptied in the reverse, each in its own start-up time."""
    is_spread: bool = False
    """Whether requests go to all pools alike."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The strategy that never changes anything."""

    replicas: int

    def decide(self, seen: Observation) -> Decision:
        """Return the same number."""
        return Decision(self.replicas, "constant", seen.now_s + 3600.0)

    def state(self) -> dict[str, object]:
        """Return nothing: nothing is remembered."""
        return {}

    def restore(self, state: dict[str, object]) -> None:
        """Take over nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The requests at their ends, and every replica that there was."""

    calls: Sequence[Call]
    replicas: Sequence[Replica]
    decisions: Sequence[tuple[float, Decision]]
    """Decisions that changed the number of replicas, with their times."""
    fleet: ElasticFleet


class Loop:
    """One replay, which begins with `first` replicas that serve."""

    def __init__(self, scenario: Scenario, strategy: Strategy, first: int) -> None:
        self._scenario, self._strategy = scenario, strategy
        self._time = VirtualTime()
        pools = sorted(scenario.pools, key=lambda pool: pool.priority)
        self._places = [_place(pool) for pool in pools] or [(GpuType("engine"), scenario.startup_s)]
        profiles = {kind: scenario.profile for kind, _ in self._places}
        alike = [pool.model_copy(update={"priority": 0}) for pool in pools]
        self._fleet = ElasticFleet(
            list(profiles), scenario.startup_s, self._time, profiles, alike if scenario.is_spread else pools
        )
        self._gateway = self._made_gateway()
        self._scraping = Scraping(
            (), [scrape_of(self._gateway.fleet, self._fleet.engines)], ScrapeSettings().interval_s
        )
        self._router = ElasticRouter(self._gateway, self._fleet, self._scraping, ArrivalCounts())
        self._latencies = LatencyCounts()
        self._decisions: list[tuple[float, Decision]] = []
        self._adjust(first, 0.0, at_once=True)

    def _made_gateway(self) -> Gateway:
        slo = self._scenario.slo
        settings = RoutingSettings(strategy=self._scenario.routing, slo_ttft_s=slo.ttft_s, slo_itl_s=slo.itl_s)
        rng = random.Random(self._scenario.seed)  # noqa: S311 - spreads load, keeps no secret
        return Gateway(Fleet(settings, rng, build=baselines.build), settings, self._time)

    def run(self, progress: Callable[[int], None]) -> Outcome:
        """Replay the traffic; `progress` is called with 1 for each arrival."""
        self._router.discover(0.0)
        routing = self._scenario.routing
        replay = Replay(
            trace=self._scenario.trace, engines=self._fleet.engines, router=self._router, time=self._time,
            strategy=routing, admission=Admission({}, LimitSettings().output_tokens), scraping=self._scraping,
            slo=self._gateway.fleet.slo(MODEL) if routing == Forebay.name else None,
        )  # fmt: skip
        self._time.set(FIRST_TICK_S, self._tick)
        calls = replay.run(progress)
        return Outcome(calls, tuple(self._fleet.replicas), self._decisions, self._fleet)

    def _tick(self, now_s: float) -> None:
        """Observe, decide, and have as many replicas as were decided on."""
        arrivals = self._router.counts.arrivals(now_s)
        seen = observation(now_s, self._fleet, arrivals, self._latencies.latency(self._fleet.engines.values()))
        decision = self._strategy.decide(seen)
        if decision.desired != seen.ordered:
            self._decisions.append((now_s, decision))
            self._adjust(decision.desired, now_s)
            self._router.discover(now_s)
        next_s = max(decision.next_s, now_s + SHORTEST_TICK_S)
        if next_s < self._scenario.until_s:
            self._time.set(next_s, self._tick)

    def _adjust(self, replicas: int, now_s: float, *, at_once: bool = False) -> None:
        """Have so many replicas, the first pools full before the next has any."""
        for kind, startup_s in self._places:
            here = min(replicas, kind.max_replicas)
            replicas -= here
            self._fleet.adjust(kind, here, now_s, startup_s=0.0 if at_once else startup_s)


def _place(pool: PoolSettings) -> tuple[GpuType, float]:
    """Return a pool as a type of replicas, and how long one takes to start."""
    most = MOST_REPLICAS if pool.cap is None else pool.cap
    return GpuType(pool.name, pool.cost_per_hour, max_replicas=most), pool.provisioning_delay_s
