"""The options of `forebay simulate --autoscale`: strategies, bounds, made-up traffic, the size of engines."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from forebay.cli.options import FILE_PATH, FiniteRange

if TYPE_CHECKING:
    from forebay.cli.autoscale_option import Bounds
    from forebay.simulation.autoscale import Contender
    from gateway.config.pools import PoolSettings
    from simulator.replay.summary import Slo
    from simulator.replay.traces import TraceRequest

STATIC, BEST_STATIC = "static", "best-static"
MOST_REPLICAS = 1000
"""Largest number of replicas (chosen: more are a mistake)."""

_COUNT = click.IntRange(1, MOST_REPLICAS)

OPTIONS: Sequence[click.Option] = (
    click.Option(["--autoscale"], multiple=True, metavar="A,B", help=(
        "Compare autoscalers: KPA, APA, HPA, SLO, each NAME[:key=value,...], static:N, best-static, or a file with a "
        "PodAutoscaler.  Repeatable.")),
    click.Option(["--pattern", "patterns"], multiple=True, metavar="PATTERN", help=(
        "Made-up traffic: RATExSECONDS,..., or wave:, day:, step:, bursts: with key=number,...  Repeatable.")),
    click.Option(["--input-tokens"], default="4000", help="Prompts of a pattern: N or LEAST-MOST."),
    click.Option(["--output-tokens"], default="1000", help="Answers of a pattern: N or LEAST-MOST."),
    click.Option(["--arrivals"], type=click.Choice(["even", "poisson"]), default="even", help="Of a pattern."),
    click.Option(["--min", "least"], type=_COUNT, default=1, help="Fewest replicas."),
    click.Option(["--max", "most"], type=_COUNT, default=8, help="Most replicas."),
    click.Option(["--initial"], type=_COUNT, help="Replicas at the beginning.  [default: --min]"),
    click.Option(["--max-running"], type=click.IntRange(min=1), help="Most sequences of an engine's batch."),
    click.Option(["--kv-blocks"], type=click.IntRange(min=1), help="Blocks of an engine's KV cache."),
    click.Option(["--block-tokens"], type=click.IntRange(min=1), help="Tokens of a block."),
    click.Option(["--pools"], type=FILE_PATH, help=(
        "A configuration with `pools`: replicas fill one after the other, up to its cap, and the last is emptied "
        "first; --min is what those without a price hold, --max what all hold.")),
    click.Option(["--attainment"], type=FiniteRange(0, 1), default=0.999, help=(
        "Share of requests inside the SLO that best-static has to reach.")),
)  # fmt: skip
"""The options that mean something with --autoscale only."""


def autoscale_options(command: Any) -> Any:
    """Add the options to a command."""
    command.params.extend(OPTIONS)
    return command


def refuse_alone(context: click.Context) -> None:
    """Raise click.UsageError when one of the options is given without --autoscale."""
    for option in OPTIONS:
        if context.get_parameter_source(str(option.name)) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option.opts[0]} needs --autoscale")


def compare(
    given: Mapping[str, Any], *, trace: Path | None, shapes: Sequence[str], gpu: str, strategies: Sequence[str],
    slo: "Slo", startup_s: float, seed: int, report: Path | None,
) -> None:  # fmt: skip
    """Compare the autoscalers that the options name.  Raises ValueError, OSError and click.UsageError."""
    from forebay.cli.autoscale_option import Bounds, split
    from forebay.simulation.autoscale import AutoscaleOptions, run
    from forebay.simulation.autoscale_loop import ROUTING, Scenario
    from simulator.calibration.gpu_file import load_gpu
    from simulator.core.gpus import resized
    from simulator.replay import baselines

    pools = _pools(given["pools"]) if given["pools"] else ()
    least, most = _bounds(pools) if pools else (given["least"], given["most"])
    if most < least:
        raise click.UsageError(f"--max = {most}, must be >= --min, which is {least}")
    routing = strategies[0] if strategies else ROUTING
    if len(strategies) > 1:
        raise click.UsageError("--autoscale takes one --strategy")
    baselines.check(routing)
    bounds = Bounds(least, most, slo.ttft_s, slo.itl_s)
    contenders = [_contender(text, bounds) for text in split(given["autoscale"])]
    profile = resized(
        load_gpu(gpu), max_running=given["max_running"], kv_blocks=given["kv_blocks"],
        block_tokens=given["block_tokens"],
    )  # fmt: skip
    scenarios = [
        Scenario(name, requests, until_s, profile, startup_s, slo, routing, seed, pools)
        for name, requests, until_s in _traffic(given, trace, shapes, seed)
    ]
    if not scenarios:
        raise click.UsageError("--autoscale needs --trace, --pattern or --shape")
    run(AutoscaleOptions(scenarios, contenders, least, most, given["initial"] or least, given["attainment"], report))


def _pools(file: Path) -> "Sequence[PoolSettings]":
    """Return the pools of a configuration.  Raises ValueError."""
    from gateway.config.loading import load
    from gateway.config.problems import ConfigurationError
    from routing.table import STRATEGIES

    try:
        pools = load(file, os.environ, STRATEGIES).pools
    except ConfigurationError as error:
        raise ValueError("; ".join(error.problems)) from error
    if not pools:
        raise ValueError(f"{file}: has no pools")
    return pools


def _bounds(pools: "Sequence[PoolSettings]") -> tuple[int, int]:
    """Return the replicas that cost nothing and that all pools hold, at least one of each."""
    caps = [(pool.cost_per_hour, MOST_REPLICAS if pool.cap is None else pool.cap) for pool in pools]
    return max(1, sum(cap for cost, cap in caps if not cost)), min(MOST_REPLICAS, sum(cap for _, cap in caps))


def _contender(text: str, bounds: "Bounds") -> "Contender":
    from forebay.cli.autoscale_option import spec_of
    from forebay.simulation.autoscale import Constant, Scaled

    name, _, number = text.partition(":")
    if text == BEST_STATIC:
        return Constant(None)
    if name != STATIC:
        return Scaled(text, spec_of(text, bounds))
    if not (number.isdecimal() and 1 <= int(number) <= MOST_REPLICAS):
        raise ValueError(f"autoscale = {text!r}, must be static:N with N from 1 to {MOST_REPLICAS}")
    return Constant(int(number))


def _traffic(
    given: Mapping[str, Any], trace: Path | None, shapes: Sequence[str], seed: int
) -> "Iterator[tuple[str, Sequence[TraceRequest], float]]":
    """Yield name, requests and duration of each kind of traffic."""
    from simulator.replay import patterns, traces
    from simulator.replay import shapes as made_up

    read = [(trace.name, traces.read(trace))] if trace else []
    for name, requests in [*read, *((name, made_up.generate(name, seed)) for name in shapes)]:
        if not requests:
            raise ValueError(f"{name}: has no requests")
        yield name, requests, requests[-1].timestamp / 1000
    prompts, answers = (patterns.parse_tokens(given[name]) for name in ("input_tokens", "output_tokens"))
    for text in given["patterns"]:
        steps = patterns.parse_pattern(text)
        rng = Random(seed)  # noqa: S311 - keeps no secret
        requests = patterns.generate(steps, prompts, answers, rng, is_even=given["arrivals"] == "even")
        yield text, requests, sum(step.seconds for step in steps)
