"""The commands about engine models: `simulate`, `calibrate`."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

from pathlib import Path
from typing import Any

import click

from forebay.cli.options import DIRECTORY_PATH, FILE_PATH, FiniteRange


@click.command()
@click.option(
    "--trace", type=FILE_PATH, required=True, help="Mooncake's or our JSON lines; Azure, ServeGen or VTC CSV."
)
@click.option("--pods", type=click.IntRange(min=1), default=8, help="Number of pods.")
@click.option("--gpu", default="published-fit", help="GPU profile of the pods, by name or file.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    default=("forebay",),
    help="Strategies to compare, A,B,C (also round-robin); repeatable.  A value with a colon is one mixture, a:2,b.",
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
    *, trace: Path, pods: int, gpu: str, strategies: tuple[str, ...], speedup: str, users: str, faults: tuple[str, ...],
    slo_ttft: float, slo_itl: float, keep_slo: bool, scrape_s: float, all_seeing: bool, replicas: str,
    seed: int, assignments: Path | None, report: Path | None,
) -> None:  # fmt: skip
    """Replay a trace on engine models, in virtual time."""
    from forebay.simulation.comparison import Options, run
    from simulator.replay.outages import parse_outage
    from simulator.replay.summary import Slo

    try:
        names = [name for value in strategies for name in ([value] if ":" in value else value.split(","))]
        options = Options(
            trace, pods, gpu, names, [float(factor) for factor in speedup.split(",")],
            users=users, seed=seed, slo=Slo(slo_ttft, slo_itl), assignments=assignments, report=report,
            outages=[parse_outage(fault) for fault in faults], keep_slo=keep_slo, scrape_s=scrape_s,
            all_seeing=all_seeing, replicas=[int(number) for number in replicas.split(",")],
        )  # fmt: skip
        run(options)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


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
