"""The cost and the promise that autoscalers kept: measures, the table and the page.

Not here: the replays (autoscale), the pictures (autoscale_plots), the measures of requests (simulator.replay.summary).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import fsum
from pathlib import Path

from forebay.simulation.autoscale_loop import Outcome, Scenario
from forebay.simulation.elastic_fleet import HOUR_S, Replica
from simulator.replay.replay import Call
from simulator.replay.report import ABSENT, aligned, document
from simulator.replay.summary import Summary, summarize


@dataclass(frozen=True, slots=True)
class AutoscaleRun:
    """One replay."""

    name: str
    summary: Summary
    replica_seconds: float
    """Seconds that replicas were there until the end of the traffic, those that start and drain included."""
    mean: float
    highest: int
    """Most replicas at one time."""
    changes: int
    """Decisions that changed the number."""
    replicas: Sequence[Replica]
    """All that there ever were."""
    calls: Sequence[Call]

    @property
    def attainment(self) -> float:
        """The share of all requests that were served inside the promise."""
        return self.summary.good / self.summary.requests

    def renamed(self, name: str) -> "AutoscaleRun":
        """Return the run with another name."""
        return replace(self, name=name)


@dataclass(frozen=True, slots=True)
class AutoscaleComparison:
    """The replays of one scenario."""

    scenario: Scenario
    runs: Sequence[AutoscaleRun]


def measured(scenario: Scenario, name: str, outcome: Outcome) -> AutoscaleRun:
    """Return the measures of a finished replay."""
    totals = {pod: engine.totals for pod, engine in outcome.fleet.engines.items()}
    seconds = fsum(each.paid_s(scenario.until_s) for each in outcome.replicas)
    return AutoscaleRun(
        name,
        summarize(name, 1.0, outcome.calls, totals, scenario.slo),
        seconds,
        seconds / scenario.until_s,
        max((number for _, number in level(outcome.replicas, scenario.until_s)), default=0),
        len(outcome.decisions),
        outcome.replicas,
        outcome.calls,
    )


def level(replicas: Sequence[Replica], until_s: float) -> Iterator[tuple[float, int]]:
    """Yield the number of replicas, draining ones included, after each change of it before this time."""
    changes = sorted((at_s, by) for each in replicas for at_s, by in ((each.ordered_s, 1), (each.ended_s, -1)))
    number = 0
    for at_s, by in changes:
        number += by
        if at_s < until_s:
            yield at_s, number


NOTE = (
    "In SLO: share of all requests whose first token and mean time between tokens are in time.  Replica-seconds: from "
    "the order of a replica to its end, until the end of the traffic.  Refused: by the gateway, or lost."
)
HEADING = (
    "", "in SLO", "replicas, mean", "highest", "replica-seconds", "TTFT p50, ms", "p99", "ITL mean, ms", "refused",
    "changes",
)  # fmt: skip


def rows(comparison: AutoscaleComparison) -> list[list[str]]:
    """Return the table's rows, a heading first; each replay is a row, with pools with what they were paid for."""
    scenario, table_rows = comparison.scenario, [list(HEADING), *map(_row, comparison.runs)]
    if scenario.pools:
        paid = [f"{paid_hours(run, scenario.until_s):.3f}" for run in comparison.runs]
        return [[*row, cell] for row, cell in zip(table_rows, ["paid hours", *paid], strict=True)]
    return table_rows


def paid_hours(run: AutoscaleRun, until_s: float) -> float:
    """Return the hours of replicas that have a price, from the order to the end of each."""
    return fsum(each.paid_s(until_s) for each in run.replicas if each.gpu.cost) / HOUR_S


def _row(run: AutoscaleRun) -> list[str]:
    ttft, itl = run.summary.ttft, run.summary.itl
    return [
        run.name,
        f"{run.attainment:.2%}",
        f"{run.mean:.2f}",
        str(run.highest),
        f"{run.replica_seconds:.0f}",
        *([ABSENT, ABSENT] if ttft is None else [f"{ttft.p50 * 1000:.0f}", f"{ttft.p99 * 1000:.0f}"]),
        ABSENT if itl is None else f"{itl.mean * 1000:.1f}",
        str(run.summary.requests - run.summary.served),
        str(run.changes),
    ]


def title(comparison: AutoscaleComparison) -> str:
    """Return a line about the traffic and the promise."""
    scenario = comparison.scenario
    return (
        f"{scenario.name}: {len(scenario.trace)} requests in {scenario.until_s:.0f} s, first token in "
        f"{scenario.slo.ttft_s:g} s, {scenario.slo.itl_s * 1000:g} ms a token, {scenario.startup_s:g} s to start"
    )


def table(comparison: AutoscaleComparison) -> str:
    """Return the table as text for a terminal."""
    return "\n".join([title(comparison), *aligned(rows(comparison))])


def write(comparisons: Sequence[AutoscaleComparison], directory: Path) -> None:
    """Write the page, and a picture for each scenario, to this directory.  Needs matplotlib."""
    from forebay.simulation import autoscale_plots  # noqa: PLC0415 - needs the extra `simulate`

    directory.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, comparison in enumerate(comparisons):
        image = f"autoscale-{number}.png"
        autoscale_plots.draw(comparison, directory / image)
        parts.append((title(comparison), rows(comparison), [image]))
    (directory / "index.html").write_text(document("Autoscaling", parts, NOTE))
