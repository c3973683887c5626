"""Replicas that autoscalers need, and the share of requests that they keep inside the promise, in virtual time.

Two engines, one bound by its seats and one by its KV cache; a ramp and waves; pods take 100 s to start.  KPA, HPA and
APA have the targets that suit KPA best on the ramp, found by hand for each engine; SLO is told the promise only.

Lives here: the measurement and its table.  `python -m bench.autoscaling` prints it, and takes a quarter of an hour.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import click

from forebay.cli.autoscale_option import Bounds, spec_of
from forebay.simulation.autoscale import AutoscaleOptions, Constant, Contender, Scaled, compare
from forebay.simulation.autoscale_loop import ROUTING, Scenario
from forebay.simulation.autoscale_report import AutoscaleRun
from simulator.core.gpus import GpuProfile, gpu_profile, resized
from simulator.replay.patterns import TokenRange, generate, parse_pattern
from simulator.replay.summary import Slo

PATTERNS: Mapping[str, tuple[str, int]] = {
    "ramp": ("2x330,4x360,6x360,8x360,10x360,4x360,1x300", 3),
    "small fast wave": ("wave:mean=5,amplitude=0.5,period=240,for=2520", 5),
    "large fast wave": ("wave:mean=5,amplitude=0.7,period=240,for=2520", 6),
    "small slow wave": ("wave:mean=5,amplitude=0.5,period=840,for=2520", 5),
    "large slow wave": ("wave:mean=5,amplitude=0.7,period=840,for=2520", 6),
}
"""Pattern and replicas at its beginning: a wave begins with the constant number that is best for it, because nobody can
foresee the first."""
ENGINES: Mapping[str, GpuProfile] = {
    "seats": resized(gpu_profile("published-fit"), max_running=16),
    "KV": resized(gpu_profile("published-fit"), kv_blocks=4096),
}
TUNED: Mapping[str, Sequence[str]] = {
    "seats": ("KPA:target=10,scale-down-delay=0s", "HPA:target=10", "APA:target=10"),
    "KV": ("KPA:target=33,scale-down-delay=0s", "HPA:target=33", "APA:target=33"),
}
PROMPTS, ANSWERS = TokenRange(4000, 4000), TokenRange(1000, 1000)
SLO = Slo(ttft_s=3.0, itl_s=0.1)
STARTUP_S = 100.0
LEAST, MOST = 3, 8
ATTAINMENT = 0.999
HEADER = ("pattern", "engine", "best constant", "KPA", "HPA", "APA", "SLO")


@dataclass(frozen=True, slots=True)
class ScaleSample:
    """One pattern on one engine, with every contender."""

    pattern: str
    engine: str
    runs: Sequence[AutoscaleRun]


def scenario_of(pattern: str, engine: str) -> Scenario:
    """Return a pattern on an engine."""
    steps = parse_pattern(PATTERNS[pattern][0])
    trace = generate(steps, PROMPTS, ANSWERS, Random(0), is_even=True)
    until_s = sum(step.seconds for step in steps)
    return Scenario(f"{pattern}, {engine}", trace, until_s, ENGINES[engine], STARTUP_S, SLO, ROUTING, seed=0)


def contenders(engine: str) -> Sequence[Contender]:
    """Return the best constant number, the tuned strategies, and SLO."""
    bounds = Bounds(LEAST, MOST, SLO.ttft_s, SLO.itl_s)
    return [Constant(None), *(Scaled(text, spec_of(text, bounds)) for text in (*TUNED[engine], "SLO"))]


def measure_autoscaling(
    patterns: Sequence[str], engines: Sequence[str], progress: Callable[[str], None]
) -> Iterator[ScaleSample]:
    """Yield the replays of each pattern on each engine."""
    for pattern in patterns:
        for engine in engines:
            progress(f"autoscaling: {pattern}, {engine}")
            scenario = scenario_of(pattern, engine)
            options = AutoscaleOptions(
                [scenario], contenders(engine), LEAST, MOST, PATTERNS[pattern][1], ATTAINMENT, None
            )
            yield ScaleSample(pattern, engine, compare(options, scenario).runs)


def row(sample: ScaleSample) -> list[str]:
    """Return a row of the table: the share inside the promise, and the replicas on average."""
    figures = [f"{run.attainment:.2%} at {run.mean:.2f}" for run in sample.runs]
    return [sample.pattern, sample.engine, *figures]


def markdown(cells: Sequence[str]) -> str:
    """Return a row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(PATTERNS)), help="Only these patterns.")
@click.option("--engine", "engines", multiple=True, type=click.Choice(list(ENGINES)), help="Only these engines.")
def main(*, only: tuple[str, ...], engines: tuple[str, ...]) -> None:
    """Replay ramp and waves with each autoscaler, and print the table."""

    def progress(line: str) -> None:
        click.echo(line, err=True)

    click.echo(markdown(HEADER))
    click.echo(markdown(["---"] * len(HEADER)))
    for sample in measure_autoscaling(only or list(PATTERNS), engines or list(ENGINES), progress):
        click.echo(markdown(row(sample)))


if __name__ == "__main__":
    main()
