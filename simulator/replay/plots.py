"""Plots of a comparison, as PNG files.

Lives here: drawing.  Not here: the numbers (summary), the page with the plots (report).
Needs matplotlib, which the extra `simulate` installs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulator.replay.report import Comparison
from simulator.replay.summary import Summary

SIZE_INCHES = (7.0, 4.2)


def draw(comparison: Comparison, directory: Path) -> list[str]:
    """Write all plots into `directory`; return the names of the files."""
    for name, plot in PLOTS.items():
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        plot(figure.subplots(), comparison)
        figure.savefig(directory / name)
    return list(PLOTS)


def _ttft(axes: Axes, comparison: Comparison) -> None:
    for run in comparison.summaries:
        if run.ttfts_s:
            axes.ecdf(run.ttfts_s, label=_label(run))
    axes.axvline(comparison.slo.ttft_s, color="grey", linestyle=":", label="SLO")
    axes.set(title="Time to first token", xlabel="seconds", ylabel="share of served requests", xscale="log")
    axes.legend()


def _reuse(axes: Axes, comparison: Comparison) -> None:
    _bars(axes, comparison, lambda run: run.reuse)
    axes.axhline(comparison.ceilings.pooled, color="grey", linestyle="--", label="one cache of the same total")
    axes.axhline(comparison.ceilings.endless, color="grey", linestyle=":", label="endless cache")
    axes.set(title="Token reuse", ylabel="share of prompt tokens not computed")
    axes.legend()


def _good(axes: Axes, comparison: Comparison) -> None:
    _bars(axes, comparison, lambda run: run.good / run.requests if run.requests else 0.0)
    axes.set(title="Goodput", ylabel="share of requests within the SLO", ylim=(0, 1))


def _load(axes: Axes, comparison: Comparison) -> None:
    for run in comparison.summaries:
        axes.plot(sorted(run.load.values()), marker="o", label=_label(run))
    axes.set(title="Load", xlabel="pods, least busy first", ylabel="busy seconds", ylim=(0, None))
    axes.legend()


def _bars(axes: Axes, comparison: Comparison, height: Callable[[Summary], float]) -> None:
    labels = [_label(run) for run in comparison.summaries]
    axes.bar(labels, [height(run) for run in comparison.summaries])
    axes.tick_params(axis="x", rotation=20)


def _label(run: Summary) -> str:
    return f"{run.strategy} {run.speedup:g}x"


PLOTS: Mapping[str, Callable[[Axes, Comparison], None]] = {
    "ttft.png": _ttft,
    "goodput.png": _good,
    "reuse.png": _reuse,
    "load.png": _load,
}
