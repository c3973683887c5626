"""The picture of a closed loop: requests per second, and the replicas that followed.

Not here: the numbers (mix), the page (mix_report).  Needs matplotlib, which the extra `simulate` installs.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forebay.simulation.mix_report import MixComparison, MixRun

WIDTH, ROW = 9.0, 2.4
"""Inches."""


def draw(comparison: MixComparison, file: Path) -> None:
    """Write a picture with a row for the traffic and one for each replay."""
    runs = comparison.runs
    figure = Figure(figsize=(WIDTH, ROW * (1 + len(runs))), layout="constrained")
    traffic, *others = figure.subplots(1 + len(runs), 1, sharex=True)
    traffic.plot([moment.at_s for moment in runs[0].moments], [moment.rate for moment in runs[0].moments])
    traffic.set(title=f"Traffic: {comparison.name}", ylabel="requests per second", ylim=(0, None))
    for axes, run in zip(others, runs, strict=True):
        _replicas(axes, run)
    others[-1].set(xlabel="seconds")
    figure.savefig(file)


def _replicas(axes: Axes, run: MixRun) -> None:
    times = [moment.at_s for moment in run.moments]
    levels = [[moment.replicas[name] for moment in run.moments] for name in run.deployments]
    axes.stackplot(times, *levels, labels=run.deployments, step="post")
    title = f"{run.summary.strategy}: {run.cost:.2f} an hour, {run.attainment:.1%} inside the SLO"
    axes.set(title=title, ylabel="replicas", ylim=(0, None))
    axes.legend(loc="upper right")
