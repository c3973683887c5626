"""The commands about engine models: `simulate`, `calibrate`."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay.cli.autoscaling import autoscale_options, compare, refuse_alone
from forebay.cli.mixing import SYNTAX, mix_of
from forebay.cli.options import DIRECTORY_PATH, FILE_PATH, FiniteRange

if TYPE_CHECKING:
    from forebay.local.mix.gpu_types import GpuType
    from simulator.replay.summary import Slo

MOST_REPLICAS = 1000
"""Replicas of a GPU type where its MAX is left out (chosen: more are a mistake)."""


@autoscale_options
@click.command()
@click.option("--trace", type=FILE_PATH, help="Mooncake's or our JSON lines; Azure, ServeGen or VTC CSV.")
@click.option("--shape", "shapes", default="", help="With --mix or --autoscale: made-up traffic, chat,long,waves.")
@click.option("--pods", type=click.IntRange(min=1), default=8, help="Number of pods.")
@click.option("--gpu", default="published-fit", help="GPU profile of the pods, by name or file.")
@click.option(
    "--mix",
    callback=mix_of(MOST_REPLICAS),
    metavar="TYPES",
    help=f"Close the loop with the optimizer over GPU types: {SYNTAX}.",
)
@click.option("--startup-s", type=FiniteRange(min=0), default=60.0, help="Until a new replica serves, in seconds.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    help="Strategies to compare, A,B,C (also round-robin); repeatable.  A value with a colon is one mixture, a:2,b.  "
    "[default: forebay; with --mix slo, with --autoscale least-request]",
)
@click.option("--speedup", default="1", help="Factors by which arrivals are sped up: 1,4.")
@click.option("--users", default="", help="Limits of users: NAME[:rpm=N][:tpm=N],...; * is every other user.")
@click.option("--fault", "faults", multiple=True, help="stall|crash:POD:AT_SECONDS:FOR_SECONDS; repeatable.")
@click.option("--slo-ttft", type=FiniteRange(min=0), default=2.0, help="SLO: most seconds to the first token.")
@click.option("--slo-itl", type=FiniteRange(min=0), default=0.05, help="SLO: most seconds between tokens.")
@click.option("--keep-slo", is_flag=True, help="Queue and refuse under every strategy to keep the SLO.")
@click.option("--scrape-interval", "scrape_s", type=FiniteRange(min=0), default=2.0, help="In seconds; 0 = never.")
@click.option("--all-seeing", is_flag=True, help="Replay a second time with fresh engine metrics at every decision.")
@click.option("--replicas", default="1", help="Numbers of gateway replicas, 1,4; several replay also without sharing.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same result.")
@click.option("--assignments", type=FILE_PATH, help="Write the pod of each request to a file of JSON lines.")
@click.option("--report", type=DIRECTORY_PATH, help="Write a page with plots to this directory.")
def simulate(
    *, trace: Path | None, shapes: str, pods: int, gpu: str, mix: "tuple[GpuType, ...] | None", startup_s: float,
    strategies: tuple[str, ...], speedup: str, users: str, faults: tuple[str, ...], slo_ttft: float, slo_itl: float,
    keep_slo: bool, scrape_s: float, all_seeing: bool, replicas: str, seed: int, assignments: Path | None,
    report: Path | None, **autoscale: Any,
) -> None:  # fmt: skip
    """Replay a trace on engine models, in virtual time.

    With --mix the optimizer decides how many replicas of which GPU type there are; with --autoscale autoscalers decide
    how many there are, and are compared.
    """
    from forebay.simulation.comparison import Options, run
    from simulator.replay.outages import parse_outage
    from simulator.replay.summary import Slo

    try:
        if not autoscale["autoscale"]:
            refuse_alone(click.get_current_context())
        names = [name for value in strategies for name in ([value] if ":" in value else value.split(","))]
        if mix:
            _close_the_loop(
                mix, trace, shapes, strategies=names, slo=Slo(slo_ttft, slo_itl), startup_s=startup_s, seed=seed,
                report=report,
            )  # fmt: skip
            return
        if autoscale["autoscale"]:
            compare(
                autoscale, trace=trace, shapes=_names(shapes), gpu=gpu, strategies=names, slo=Slo(slo_ttft, slo_itl),
                startup_s=startup_s, seed=seed, report=report,
            )  # fmt: skip
            return
        if trace is None:
            raise click.UsageError("needs --trace, or --mix with --shape, or --autoscale with --pattern")
        options = Options(
            trace, pods, gpu, names or ["forebay"], [float(factor) for factor in speedup.split(",")],
            users=users, seed=seed, slo=Slo(slo_ttft, slo_itl), assignments=assignments, report=report,
            outages=[parse_outage(fault) for fault in faults], keep_slo=keep_slo, scrape_s=scrape_s,
            all_seeing=all_seeing, replicas=[int(number) for number in replicas.split(",")],
        )  # fmt: skip
        run(options)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _close_the_loop(
    mix: "tuple[GpuType, ...]", trace: Path | None, shapes: str, *, strategies: list[str], slo: "Slo",
    startup_s: float, seed: int, report: Path | None,
) -> None:  # fmt: skip
    from forebay.simulation.mix import MixOptions, run

    made_up = _names(shapes)
    if trace is None and not made_up:
        raise click.UsageError("--mix needs --trace or --shape")
    read = [trace] if trace else []
    run(MixOptions(mix, read, made_up, strategies or ["slo"], slo, startup_s, seed, report))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@click.command()
@click.option("--base-url", required=True, help="Base URL of an OpenAI API that streams completions with usage.")
@click.option("--model", required=True, help="Name of the model.")
@click.option("--output", type=FILE_PATH, required=True, help="File to write the profile to.")
@click.option("--prompt-tokens", default="64,512,1024,2048,4096", help="Approximate prompt lengths to measure.")
@click.option("--concurrency", default="1,4,16", help="Numbers of concurrent answers to measure.")
@click.option("--pass-tokens", type=click.IntRange(min=1), default=2048, help="The engine's --max-num-batched-tokens.")
@click.option("--max-running", type=click.IntRange(min=1), default=256, help="The engine's --max-num-seqs.")
@click.option(
    "--kv-blocks", type=click.IntRange(min=1), help="The engine's KV blocks, when its /metrics do not list them."
)
@click.option("--api-key", default="", envvar="OPENAI_API_KEY", help="API key, sent as bearer token.")
def calibrate(*, prompt_tokens: str, concurrency: str, **options: Any) -> None:
    """Fit a GPU profile to a live engine.

    The engine should serve nothing else meanwhile; the measurement takes a minute or two.
    """
    from forebay.local.extras import require

    require("forebay calibrate", "simulate", "httpx")
    from simulator.calibration.calibrate import Request, run

    try:
        lengths, counts = ([int(number) for number in text.split(",")] for text in (prompt_tokens, concurrency))
        run(Request(prompt_tokens=lengths, concurrency=counts, **options), click.echo)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
