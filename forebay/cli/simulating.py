"""The commands about engine models: `simulate`, `calibrate`."""
# ruff: noqa: PLC0415 - each command imports its part when it runs, so that `forebay --help` stays fast

from pathlib import Path
from typing import Any

import click

from forebay.cli.options import A_FILE


@click.command()
@click.option("--trace", type=A_FILE, required=True, help="Mooncake or our JSON lines, Azure, ServeGen or VTC CSV.")
@click.option("--pods", type=click.IntRange(min=1), default=8, help="Engines.")
@click.option("--gpu", default="published-fit", help="GPU profile of the engines, or a file.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    default=("forebay",),
    help="To compare: A,B,C, round-robin too; repeatable, and one with a colon is one name: a:2,b.",
)
@click.option("--speedup", default="1", help="How many times as fast as the trace: 1,4.")
@click.option("--users", default="", help="Limits: NAME[:rpm=N][:tpm=N],...; the name * is everybody else.")
@click.option("--fault", "faults", multiple=True, help="stall|crash:POD:AT_SECONDS:FOR_SECONDS; repeatable.")
@click.option("--slo-ttft", type=click.FloatRange(min=0), default=2.0, help="Seconds to a good request's first token.")
@click.option("--slo-itl", type=click.FloatRange(min=0), default=0.05, help="Seconds a token after that.")
@click.option("--keep-slo", is_flag=True, help="All strategies keep it by waiting and refusing, not only forebay.")
@click.option("--scrape-interval", "scrape_s", type=click.FloatRange(min=0), default=2.0, help="Seconds; 0: never.")
@click.option("--all-seeing", is_flag=True, help="Replay again with fresh engine metrics for every decision.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same result.")
@click.option("--assignments", type=A_FILE, help="Write where each request went, as JSON lines.")
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), help="Write a page with plots there.")
def simulate(
    *, trace: Path, pods: int, gpu: str, strategies: tuple[str, ...], speedup: str, users: str, faults: tuple[str, ...],
    slo_ttft: float, slo_itl: float, keep_slo: bool, scrape_s: float, all_seeing: bool, seed: int,
    assignments: Path | None, report: Path | None,
) -> None:  # fmt: skip
    """Replay a trace on engine models, in virtual time."""
    from forebay.simulation.comparison import Plan, run
    from simulator.replay.outages import parse_outage
    from simulator.replay.summary import Slo

    try:
        names = [name for given in strategies for name in ([given] if ":" in given else given.split(","))]
        plan = Plan(
            trace, pods, gpu, names, [float(factor) for factor in speedup.split(",")],
            users=users, seed=seed, slo=Slo(slo_ttft, slo_itl), assignments=assignments, report=report,
            outages=[parse_outage(fault) for fault in faults], keep_slo=keep_slo, scrape_s=scrape_s,
            all_seeing=all_seeing,
        )  # fmt: skip
        run(plan)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--base-url", required=True, help="Of an OpenAI endpoint that streams completions with usage.")
@click.option("--model", required=True, help="Model to ask for.")
@click.option("--output", type=A_FILE, required=True, help="Where to write the profile.")
@click.option("--prompt-tokens", default="64,512,1024,2048,4096", help="Prompt lengths to measure, about.")
@click.option("--concurrency", default="1,4,16", help="Answers at once to measure.")
@click.option("--pass-tokens", type=click.IntRange(min=1), default=2048, help="Its --max-num-batched-tokens.")
@click.option("--max-running", type=click.IntRange(min=1), default=256, help="Its --max-num-seqs.")
@click.option("--kv-blocks", type=click.IntRange(min=1), help="Its KV blocks, when its /metrics do not say.")
@click.option("--api-key", default="", envvar="OPENAI_API_KEY", help="Sent as bearer token.")
def calibrate(*, prompt_tokens: str, concurrency: str, **options: Any) -> None:
    """Fit a GPU profile to a live engine.

    The engine should have nothing else to do; it takes a minute or two.
    """
    from forebay.local.extras import require

    require("forebay calibrate", "simulate", "httpx")
    from simulator.calibration.calibrate import Request, run

    try:
        lengths, counts = ([int(number) for number in text.split(",")] for text in (prompt_tokens, concurrency))
        run(Request(prompt_tokens=lengths, concurrency=counts, **options), click.echo)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
