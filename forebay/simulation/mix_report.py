"""The cost of a closed loop and the SLO that it kept: the table, the page and its pictures.

Not here: the replays (mix), the measures of requests (simulator.replay.summary).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from routing.types import PodId
from simulator.replay.replay import Call
from simulator.replay.report import aligned, document
from simulator.replay.summary import Slo, Summary

LONG_TOKENS = 2048
"""A prompt of so many tokens is a long one: more than one pass of most engines."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Requests per second, and replicas by deployment, those that start included."""

    at_s: float
    rate: float
    replicas: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MixRun:
    """One replay."""

    summary: Summary
    deployments: Sequence[str]
    cost: float
    """Money per hour, on average."""
    replicas: Mapping[str, float]
    """Mean replicas by deployment."""
    unserved: float
    """The share of the demand for which the plans had no type that keeps the SLO."""
    started: int
    """Replicas that there ever were."""
    long: Mapping[str, float]
    """The share of long prompts that each deployment served."""
    moments: Sequence[Moment]

    @property
    def attainment(self) -> float:
        """The share of all requests that were served inside the SLO."""
        return self.summary.good / self.summary.requests


@dataclass(frozen=True, slots=True)
class MixComparison:
    """The replays of one trace: the mix, once for each of `mixes` strategies, and each type alone."""

    name: str
    slo: Slo
    mixes: int
    runs: Sequence[MixRun]

    @property
    def best_alone(self) -> MixRun | None:
        """The cheapest type alone whose plans serve all; None = no type is."""
        able = [run for run in self.runs[self.mixes :] if run.unserved <= NEXT_TO_NOTHING]
        return min(able, key=lambda run: run.cost, default=None)


NEXT_TO_NOTHING = 0.001
"""A share of the demand that counts as nothing."""


def long_prompts(calls: Iterable[Call], deployment_of: Callable[[PodId], str]) -> dict[str, float]:
    """Return the share of long prompts that each deployment got; nothing where there were none."""
    counts = Counter(deployment_of(call.pod) for call in calls if call.pod and call.request.input_length >= LONG_TOKENS)
    return {name: count / counts.total() for name, count in sorted(counts.items())}


def rows(comparison: MixComparison) -> list[list[str]]:
    """Return the table's rows, a heading first; each replay is a row."""
    best = comparison.best_alone
    heading = [
        "",
        "cost/h",
        "of best alone",
        "unplanned",
        "in SLO",
        "TTFT p50, ms",
        "p99",
        "replicas, mean",
        "starts",
        "long to",
    ]
    return [heading, *(_row(run, best) for run in comparison.runs)]


def _row(run: MixRun, best: MixRun | None) -> list[str]:
    ttft = run.summary.ttft
    return [
        run.summary.strategy,
        f"{run.cost:.2f}",
        f"{run.cost / best.cost:.0%}" if best else "-",
        f"{run.unserved:.1%}",
        f"{run.attainment:.1%}",
        *(["-", "-"] if ttft is None else [f"{ttft.p50 * 1000:.0f}", f"{ttft.p99 * 1000:.0f}"]),
        " ".join(f"{name}:{run.replicas[name]:.1f}" for name in run.deployments),
        str(run.started),
        " ".join(f"{name}:{share:.0%}" for name, share in run.long.items()) or "-",
    ]


def _title(comparison: MixComparison) -> str:
    runs = comparison.runs[0].summary
    slo = comparison.slo
    return (
        f"{comparison.name}: {runs.requests} requests, first token in {slo.ttft_s:g} s, {slo.itl_s * 1000:g} ms a token"
    )


NOTE = (
    "Cost: replicas that start and drain included, until replicas have gone to their least after the last request. "
    "Unplanned: share of the demand that no type could serve inside the SLO and the plan's margin.  Best alone: the "
    "cheapest type alone without such.  In SLO: share of all requests.  "
    f"Long to: which types served prompts of {LONG_TOKENS} tokens or more."
)


def table(comparison: MixComparison) -> str:
    """Return the table as text for a terminal."""
    return "\n".join([_title(comparison), *aligned(rows(comparison))])


def write(comparisons: Sequence[MixComparison], directory: Path) -> None:
    """Write the page, and a picture for each trace, to this directory.  Needs matplotlib."""
    from forebay.simulation import mix_plots  # noqa: PLC0415 - needs the extra `simulate`

    directory.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, comparison in enumerate(comparisons):
        image = f"mix-{number}.png"
        mix_plots.draw(comparison, directory / image)
        parts.append((_title(comparison), rows(comparison), [image]))
    (directory / "index.html").write_text(document("Mixes of GPU types", parts, NOTE))
