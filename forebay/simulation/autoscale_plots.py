"""The pictures of autoscalers: replicas that serve, start and drain, over the demand; and when requests were late.

Not here: the numbers (autoscale_report).  Needs matplotlib, which the extra `simulate` installs.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from forebay.simulation.autoscale_report import AutoscaleComparison, AutoscaleRun
from forebay.simulation.elastic_fleet import Replica
from simulator.replay.summary import is_good

WIDTH, ROW = 9.0, 2.4
"""Inches."""
BIN_S = 10.0
"""Seconds that a point of the demand, and of late requests, stands for."""
Phase = tuple[str, str, Callable[[Replica], tuple[float, float]]]
PHASES: Sequence[Phase] = (
    ("serving", "#7fb2dd", lambda each: (each.served_s, min(each.unwanted_s, each.ended_s))),
    ("starting", "#f4c96b", lambda each: (each.ordered_s, min(each.served_s, each.unwanted_s))),
    ("draining", "#c9c9c9", lambda each: (max(each.unwanted_s, each.ordered_s), each.ended_s)),
)
"""Name, colour, and from when to when a replica is so."""


def draw(comparison: AutoscaleComparison, file: Path) -> None:
    """Write a picture with a row for each replay."""
    runs = comparison.runs
    figure = Figure(figsize=(WIDTH, ROW * len(runs) + 0.6), layout="constrained")
    rows = figure.subplots(len(runs), 1, sharex=True, squeeze=False)[:, 0]
    for axes, run in zip(rows, runs, strict=True):
        _replicas(axes, run, comparison.scenario.until_s)
        _demand(axes, comparison, run)
    rows[0].legend(loc="upper left", ncols=len(PHASES), fontsize="small")
    rows[-1].set(xlabel="seconds", xlim=(0, comparison.scenario.until_s))
    figure.savefig(file)


def _replicas(axes: Axes, run: AutoscaleRun, until_s: float) -> None:
    """Draw the numbers of replicas in each phase, one on the other."""
    phases = [[interval(each) for each in run.replicas] for _, _, interval in PHASES]
    ends = {at_s for intervals in phases for interval in intervals for at_s in interval if at_s < until_s}
    times = [*sorted(ends | {0.0}), until_s]
    levels = [[sum(begun <= at_s < ended for begun, ended in intervals) for at_s in times] for intervals in phases]
    axes.stackplot(
        times, *levels, labels=[name for name, _, _ in PHASES], colors=[colour for _, colour, _ in PHASES], step="post"
    )
    axes.set(
        title=f"{run.name}: {run.mean:.2f} replicas, {run.attainment:.2%} in SLO", ylabel="replicas",
        ylim=(0, 1.15 * max(1, run.highest)),
    )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _demand(axes: Axes, comparison: AutoscaleComparison, run: AutoscaleRun) -> None:
    """Draw arrivals, and those of them that were late or lost, as rates on an axis of their own."""
    scenario = comparison.scenario
    other = axes.twinx()
    arrived = [call.arrived_s for call in run.calls]
    late = [call.arrived_s for call in run.calls if not (call.served and is_good(call, scenario.slo))]
    for times, colour, label in ((arrived, "black", "requests/s"), (late, "#c22f2f", "of these late")):
        other.plot(*_rates(times, scenario.until_s), color=colour, linewidth=1.2, label=label)
    other.set(ylabel="requests/s", ylim=(0, None))
    if run is comparison.runs[0]:
        other.legend(loc="upper right", fontsize="small")


def _rates(times: Iterable[float], until_s: float) -> tuple[Sequence[float], Sequence[float]]:
    """Return the middles of bins and the rates in them."""
    counts = [0] * max(1, int(-(-until_s // BIN_S)))
    for at_s in times:
        counts[min(int(at_s / BIN_S), len(counts) - 1)] += 1
    return [(number + 0.5) * BIN_S for number in range(len(counts))], [count / BIN_S for count in counts]
