"""Cloud replicas beside one's own: what policies pay for, and the share of requests that they keep inside the promise.

Four own pods, up to four in a cloud that take 180 s to start; the synthetic trace as a wave, from its own speed up to a
multiple and back, in 20 minutes.  Beside them an oracle that knows the trace: it orders in time, for the load to come,
with the smallest margin of a list that keeps the promise as often as four constant cloud pods do, or in 99 %.

Lives here: the measurement and its table.  `python -m bench.hybrid` prints it, and takes half an hour.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from itertools import count, takewhile
from math import ceil, cos, pi
from pathlib import Path

import click
from msgspec.structs import replace

from autoscaling.autoscaler import autoscaler
from autoscaling.decision import Decision, Strategy
from autoscaling.observation import Observation
from bench.autoscaling import markdown
from forebay.cli.autoscale_option import Bounds, spec_of
from forebay.simulation.autoscale import replayed
from forebay.simulation.autoscale_loop import Fixed, Scenario
from forebay.simulation.autoscale_report import AutoscaleRun, paid_hours
from gateway.config.pools import PoolSettings
from simulator.core.gpus import gpu_profile
from simulator.replay.summary import Slo
from simulator.replay.traces import TraceRequest, read

TRACE = Path("tests/data/mooncake_synthetic_trace.jsonl.xz")
WAVE_S = 1200.0
STEP_S = 1.0
OWN, CLOUD = 4, 4
STARTUP_S = 180.0
SLO = Slo(ttft_s=2.0, itl_s=0.05)
GOOD = 0.99
WINDOW_S = 30
"""Seconds over which the oracle takes the mean of the load."""
MARGINS = (1.0, 1.25, 1.5, 2.0, 3.0)
UTILISATION = "sm_util"
PODS_CARRY = 0.5
"""The multiple of the trace that one pod carries: eight keep the promise for 99 % at 4x (docs/routing.md)."""
POOLS = (
    PoolSettings(name="own", priority=0, cap=OWN),
    PoolSettings(name="cloud", priority=1, cap=CLOUD, cost_per_hour=1.0, provisioning_delay_s=STARTUP_S),
)
ALL_CLOUD = (POOLS[1].model_copy(update={"cap": OWN + CLOUD}),)
HEADER = ("wave up to", "policy", "good", "cloud hours", "of the oracle's")


def wave(trace: Sequence[TraceRequest], factor: float) -> list[TraceRequest]:
    """Return the trace, repeated with other prompts, at a speed that goes from 1 to the factor and back."""
    length_ms = trace[-1].timestamp + 1
    passed_ms, at_ms = [0.0], 0.0  # of the trace, at each step
    for step in range(int(WAVE_S / STEP_S)):
        at_ms += 1000 * STEP_S * (1 + (factor - 1) * (1 - cos(2 * pi * step * STEP_S / WAVE_S)) / 2)
        passed_ms.append(at_ms)
    repeated = (replace_ids(request, number, length_ms) for number in count() for request in trace)
    wanted = takewhile(lambda request: request.timestamp < at_ms, repeated)
    return [request._replace(timestamp=_when_ms(request.timestamp, passed_ms)) for request in wanted]


def replace_ids(request: TraceRequest, number: int, length_ms: float) -> TraceRequest:
    """Return the request as it comes in a repetition of the trace, with a prompt of its own."""
    ids = tuple(number * 10_000_000 + each for each in request.hash_ids)
    return request._replace(timestamp=request.timestamp + number * length_ms, hash_ids=ids)


def _when_ms(passed: float, passed_ms: Sequence[float]) -> float:
    step = max(1, bisect_left(passed_ms, passed))
    before, after = passed_ms[step - 1], passed_ms[step]
    return 1000 * STEP_S * (step - 1 + (passed - before) / (after - before))


@dataclass(frozen=True, slots=True)
class Oracle:
    """Knows the trace: orders what the load needs that comes until a pod ordered now has served for a while."""

    loads: Sequence[float]
    """Pods that the load of each window of the trace fills."""
    margin: float

    def decide(self, observation: Observation) -> Decision:
        """Return the most that is needed from now until a pod that is ordered now serves."""
        first = int(observation.now_s / WINDOW_S)
        coming = self.loads[first : first + 2 + int(STARTUP_S / WINDOW_S)]
        wanted = ceil(self.margin * max(coming, default=0.0))
        return Decision(min(OWN + CLOUD, max(OWN, wanted)), "known", observation.now_s + WINDOW_S / 2)

    def state(self) -> dict[str, object]:
        """Return nothing: nothing is remembered."""
        return {}

    def restore(self, state: dict[str, object]) -> None:
        """Take over nothing."""


@dataclass(frozen=True, slots=True)
class Utilisation:
    """A strategy that is told of each pod how busy its GPU is: 100 % while it computes anything."""

    strategy: Strategy

    def decide(self, observation: Observation) -> Decision:
        """Decide as the strategy does."""
        pods = tuple(replace(pod, metrics={UTILISATION: 100.0 if pod.running else 0.0}) for pod in observation.pods)
        return self.strategy.decide(replace(observation, pods=pods))

    def state(self) -> dict[str, object]:
        """Return what the strategy remembers."""
        return self.strategy.state()

    def restore(self, state: dict[str, object]) -> None:
        """Have the strategy remember it."""
        self.strategy.restore(state)


def scenario_of(trace: Sequence[TraceRequest], factor: float) -> Scenario:
    """Return the wave up to so many times the trace's own speed."""
    return Scenario(
        f"{factor:g}x", wave(trace, factor), WAVE_S, gpu_profile("published-fit"), STARTUP_S, SLO, "forebay", 0, POOLS
    )


def loads(scenario: Scenario, pod_tokens_s: float) -> list[float]:
    """Return the pods that each window's prompts fill, of which each computes so many tokens per second."""
    tokens = [0.0] * (1 + int(WAVE_S / WINDOW_S))
    for request in scenario.trace:
        tokens[int(request.timestamp / 1000 / WINDOW_S)] += request.input_length
    return [each / WINDOW_S / pod_tokens_s for each in tokens]


def measure(trace: Sequence[TraceRequest], factor: float) -> list[AutoscaleRun]:
    """Return the replays of a wave with each policy, the oracle's first."""
    scenario, bounds = scenario_of(trace, factor), Bounds(OWN, OWN + CLOUD, SLO.ttft_s, SLO.itl_s)
    everything = replayed(scenario, "own + 4 cloud, always", Fixed(OWN + CLOUD), OWN + CLOUD)
    pod_tokens_s = PODS_CARRY * sum(each.input_length for each in trace) * 1000 / trace[-1].timestamp
    load = loads(scenario, pod_tokens_s)
    for margin in MARGINS:
        oracle = replayed(scenario, "oracle", Oracle(load, margin), OWN)
        if oracle.attainment >= min(GOOD, everything.attainment):
            break
    hpa = Utilisation(autoscaler(spec_of(f"HPA:metric={UTILISATION},target=50", bounds)))
    evenly = dataclass_replace(scenario, is_spread=True)
    cloud = dataclass_replace(scenario, pools=ALL_CLOUD)
    return [
        oracle,
        replayed(scenario, "SLO", autoscaler(spec_of("SLO", bounds)), OWN),
        replayed(scenario, "HPA, utilisation 50 %", hpa, OWN),
        replayed(scenario, "own only", Fixed(OWN), OWN),
        everything,
        replayed(evenly, "spread evenly, always", Fixed(OWN + CLOUD), OWN + CLOUD),
        replayed(cloud, "all cloud, always", Fixed(OWN + CLOUD), OWN + CLOUD),
    ]


@click.command()
@click.option("--factor", "factors", multiple=True, type=float, default=(1.0, 2.0, 4.0, 8.0), help="Only these waves.")
def main(*, factors: tuple[float, ...]) -> None:
    """Replay waves with each policy, and print the table."""
    click.echo(markdown(HEADER))
    click.echo(markdown(["---"] * len(HEADER)))
    trace = read(TRACE)
    for factor in factors:
        runs = measure(trace, factor)
        oracle_hours = paid_hours(runs[0], WAVE_S)
        for run in runs:
            hours = paid_hours(run, WAVE_S)
            share = f"{hours / oracle_hours:.2f}" if oracle_hours else "-"
            click.echo(markdown([f"{factor:g}x", run.name, f"{run.attainment:.2%}", f"{hours:.2f}", share]))


if __name__ == "__main__":
    main()
