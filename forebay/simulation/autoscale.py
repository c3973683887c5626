"""`forebay simulate --autoscale`: autoscalers compared on the same traffic, in virtual time.

Lives here: what is compared, the best constant number.  Not here: one replay (autoscale_loop), the option's words
(forebay.cli.autoscale_option), traffic (simulator.replay), the table and the page (autoscale_report).
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from autoscaling.autoscaler import autoscaler
from autoscaling.decision import Strategy
from autoscaling.spec import Spec
from forebay.local.extras import require
from forebay.simulation import autoscale_report
from forebay.simulation.autoscale_loop import Fixed, Loop, Scenario
from forebay.simulation.autoscale_readings import check_sources
from forebay.simulation.autoscale_report import AutoscaleComparison, AutoscaleRun


@dataclass(frozen=True, slots=True)
class Scaled:
    """An autoscaler by its specification."""

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant number of replicas; None = the smallest that keeps the promise often enough."""

    replicas: int | None


Contender = Scaled | Constant


@dataclass(frozen=True, slots=True)
class AutoscaleOptions:
    """The options of the command line."""

    scenarios: Sequence[Scenario]
    contenders: Sequence[Contender]
    least: int
    most: int
    first: int
    """Replicas at the beginning, where they are not constant."""
    attainment: float
    """The share of requests inside the promise that the best constant number reaches."""
    report: Path | None


def run(options: AutoscaleOptions) -> None:
    """Replay, print the tables and write the requested page.

    Raises ValueError for invalid options and MissingExtraError for plots without matplotlib.
    """
    if options.report:
        require("forebay simulate --report", "simulate", "matplotlib")
    comparisons = [compare(options, scenario) for scenario in options.scenarios]
    click.echo("\n\n".join([*map(autoscale_report.table, comparisons), autoscale_report.NOTE]))
    if options.report:
        autoscale_report.write(comparisons, options.report)


def compare(options: AutoscaleOptions, scenario: Scenario) -> AutoscaleComparison:
    """Replay the traffic of a scenario with each contender."""
    for each in options.contenders:
        if isinstance(each, Scaled):
            check(each.spec)
    return AutoscaleComparison(scenario, list(_runs(options, scenario)))


def check(spec: Spec) -> None:
    """Raise ValueError when a specification is nothing for a simulation."""
    check_sources(spec)
    if spec.least < 1:
        raise ValueError(f"minReplicas = {spec.least}, must be at least 1 in a simulation")


def _runs(options: AutoscaleOptions, scenario: Scenario) -> Iterator[AutoscaleRun]:
    constants = _Constants(scenario)
    for contender in options.contenders:
        match contender:
            case Scaled(name, spec):
                first = max(spec.least, min(options.first, spec.most))
                yield replayed(scenario, name, autoscaler(spec), first)
            case Constant(None):
                yield constants.best(options.least, options.most, options.attainment)
            case Constant(int(replicas)):
                yield constants.run(replicas)


class _Constants:
    """Replays with constant numbers of replicas, each once."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._runs: dict[int, AutoscaleRun] = {}

    def run(self, replicas: int) -> AutoscaleRun:
        """Return the replay with this number."""
        if replicas not in self._runs:
            self._runs[replicas] = replayed(self._scenario, f"static:{replicas}", Fixed(replicas), replicas)
        return self._runs[replicas]

    def best(self, least: int, most: int, attainment: float) -> AutoscaleRun:
        """Return the replay with the smallest number that reaches the share, found by bisection; else the largest."""
        while least < most:
            middle = (least + most) // 2
            if self.run(middle).attainment >= attainment:
                most = middle
            else:
                least = middle + 1
        return self.run(most).renamed(f"best-static ({most})")


def replayed(scenario: Scenario, name: str, strategy: Strategy, first: int) -> AutoscaleRun:
    """Replay the traffic with one strategy; return its measures."""
    length = len(scenario.trace)
    loop = Loop(scenario, strategy, first)
    with click.progressbar(
        length=length, label=f"{scenario.name}: {name}", file=sys.stderr, update_min_steps=max(1, length // 200)
    ) as bar:
        outcome = loop.run(bar.update)
    return autoscale_report.measured(scenario, name, outcome)
