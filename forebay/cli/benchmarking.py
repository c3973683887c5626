"""The command `bench-engine`: latencies and throughput of an engine over a grid of lengths and rates.

It is `aibrix_benchmark` too, under the name and with the options that people know.

Lives here: options and printing.  Not here: measuring (forebay.profiling), the search for knees (optimizer.profiling).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay.cli.options import FILE_PATH, FiniteRange, grid_lengths, lengths, powers, renamed, told_problems

if TYPE_CHECKING:
    from forebay.profiling.grid import Grid, Meter
    from forebay.profiling.results import Results

PORT = 8010
"""The port to which people forward an engine's, as AIBrix's documentation prints it."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as of shells."""


@click.command("bench-engine")
@click.option("-m", "--model", default="llama2-7b", help="Name of the model.")
@click.option("-o", "--output", type=FILE_PATH, help="Rows are appended here.  [default: result/MODEL.jsonl]")
@click.option("--base-url", help="The engine's OpenAI API; instead of --host and --port.")
@click.option("--host", default="localhost", help="Host of the engine.")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, help="Port of the engine.")
@click.option("--from-sim", metavar="GPU", help="Measure an engine model in virtual time instead: a GPU or its file.")
@lengths(step=2)
@click.option("--rate-start", type=FiniteRange(min=0, min_open=True), default=1.0, help="Lowest, in requests/s.")
@click.option("--rate-limit", type=FiniteRange(min=0, min_open=True), default=64.0, help="Highest; each is doubled.")
@click.option("--slo", "slos", multiple=True, metavar="ttft=S,itl=S,...", help="Find the knee instead; repeatable.")
@click.option("--concurrency", default="", metavar="N,N", help="So many requests always under way, instead of rates.")
@click.option("--num-prompts", type=click.IntRange(min=1), default=100, help="Requests that count per point.")
@click.option("--warm-up", "warm_up_s", type=FiniteRange(min=0), help="Seconds; else three generations of requests.")
@click.option("--window", "window_s", type=FiniteRange(min=0, min_open=True), help="Seconds; else --num-prompts.")
@click.option("--workload", type=FILE_PATH, help="A text from which prompts are cut; else random tokens.")
@click.option("--temperature", type=FiniteRange(min=0), default=0.0, help="Of the requests.")
@click.option("--ignore-eos/--no-ignore-eos", default=True, help="Have all output tokens generated.")
@click.option("--api-key", default="", envvar="OPENAI_API_KEY", help="API key, sent as bearer token.")
@click.option("--seed", type=int, default=0, help="Of the times of arrivals.")
@click.option("--dry-run", is_flag=True, help="Print the points and measure nothing.")
def bench_engine(
    *, model: str, output: Path | None, slos: Sequence[str], concurrency: str, dry_run: bool, **options: Any
) -> None:
    """Measure an engine at each pair of lengths and each rate, or find the highest rate inside an SLO.

    A point is five JSON lines.  The engine should serve nothing else meanwhile.  Interrupted, the same command goes on
    where it stood.
    """
    from forebay.profiling.results import Results
    from optimizer.profiling.targets import parse_targets

    with told_problems():
        grid = _grid(options, tuple(parse_targets(text) for text in slos), concurrency)
        if dry_run:
            _show(grid)
            return
        labels = {
            "model": model, "seed": options["seed"], "temperature": options["temperature"],
            "samples": options["num_prompts"],
        }  # fmt: skip
        results = Results(output or Path("result") / f"{model}.jsonl", labels)
        try:
            count = asyncio.run(_measure(model, grid, results, options))
        except KeyboardInterrupt:
            click.echo(
                f"\nforebay: interrupted: {results.file} keeps what was measured, run it again to go on", err=True
            )
            raise click.exceptions.Exit(INTERRUPTED) from None
        except OSError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{results.file}: {count} points measured")


def _grid(options: Mapping[str, Any], slos: Sequence[Any], concurrency: str) -> "Grid":
    from forebay.profiling.grid import Grid

    inputs, outputs = grid_lengths(options)
    if concurrency and slos:
        raise click.UsageError("--concurrency and --slo exclude each other")
    try:
        numbers = [int(text) for text in concurrency.split(",") if text]
    except ValueError as error:
        raise click.BadParameter(f"{concurrency}: must be numbers, 1,4,16") from error
    if any(number < 1 for number in numbers):
        raise click.BadParameter(f"{concurrency}: each must be at least 1")
    rates = () if concurrency or slos else powers(options["rate_start"], options["rate_limit"], 2)
    return Grid(inputs, outputs, rates, numbers, slos)


def _show(grid: "Grid") -> None:
    from optimizer.profiling.points import named

    for into, out in grid.cells():
        if grid.slos:
            click.echo(f"{into} input, {out} output tokens, the knee of {len(grid.slos)} SLOs")
        for load in grid.loads(into, out):
            click.echo(named(load))
    points = sum(len(grid.loads(*cell)) for cell in grid.cells())
    each = f"{points} points" if points else "6 to 8 points each"
    click.echo(f"{len(grid.cells())} pairs of lengths, {each}")


async def _measure(model: str, grid: "Grid", results: "Results", options: Mapping[str, Any]) -> int:
    """Measure what is not known; return how many points that were.  Raises InputError and OSError."""
    from forebay.profiling.grid import Known
    from forebay.profiling.running import points_of

    known = Known(results.known())
    count = 0
    async with _meter(model, options) as (meter, about):
        fitting = replace(grid, max_model_len=about.get("max_model_len"))
        async for point in points_of(meter, fitting, known):
            results.add(point, about)
            count += 1
    return count


@asynccontextmanager
async def _meter(model: str, options: Mapping[str, Any]) -> AsyncIterator[tuple["Meter", Mapping[str, Any]]]:
    """Yield what measures, and what is known of the engine.  Raises InputError, and OSError for engines that fail."""
    from forebay.profiling.model_meter import about, model_meter
    from optimizer.input.reading import InputError
    from optimizer.profiling.steady import Span

    span = Span(options["num_prompts"], options["warm_up_s"], options["window_s"])
    if options["from_sim"] is not None:
        try:
            model_engine = model_meter(options["from_sim"], span, options["seed"])
        except (ValueError, OSError) as error:
            raise InputError([str(error)]) from error
        yield model_engine, about(options["from_sim"], model_engine)
        return
    from forebay.local.extras import require

    require("forebay bench-engine", "engine", "httpx")
    from forebay.profiling.engine_meter import Asking, engine_meter, prompts_of

    url = options["base_url"] or f"http://{options['host']}:{options['port']}"
    asking = Asking(model, options["temperature"], options["ignore_eos"])
    prompts = prompts_of(options["workload"])
    async with engine_meter(url, options["api_key"], asking, span, prompts, seed=options["seed"]) as found:
        yield found


def aibrix_benchmark() -> None:
    """Run the command under the name that AIBrix gave it."""
    renamed(bench_engine, "aibrix_benchmark")()
