"""The command `profile`: a profile of a GPU type from a benchmark, an engine model or running pods.

It is `aibrix_gen_profile` too, under the name and with the options that people know.

Lives here: options and printing.  Not here: what is measured (forebay.profiling), the profile (optimizer.profiling).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay.cli.options import FILE_PATH, FiniteRange, grid_lengths, lengths, read_file, renamed, told_problems
from optimizer.profiling.targets import Targets, checked, parse_targets

if TYPE_CHECKING:
    from optimizer.profiling.making import Made, Wanted
    from optimizer.profiling.points import Measured

TARGETS = {
    "tput": "Requests per second, at least.",
    "tt": "Output tokens per second, at least.",
    "e2e": "Seconds to the last token, less than.",
    "ttft": "Seconds to the first token, less than.",
    "tpat": "Seconds to the last token, per token of input and output, less than.",
    "tpot": "Seconds per output token after the first, less than.",
    "itl": "Seconds between tokens, on average of a request, less than; the same as --tpot.",
}


def _target_options(command: Any) -> Any:
    for name, text in reversed(TARGETS.items()):
        command = click.option(f"--{name}", type=FiniteRange(min=0, min_open=True), help=f"SLO: {text}")(command)
    return command


@click.command()
@click.argument("deployment")
@click.option("--benchmark", type=FILE_PATH, help="What was measured, JSON lines.  [default: result/DEPLOYMENT.jsonl]")
@click.option("--from-sim", metavar="GPU", help="Measure an engine model in virtual time instead: a GPU or its file.")
@click.option("--from-live", metavar="URL", help="Take what a gateway has learned instead: its HTTP page.")
@click.option("--cost", type=FiniteRange(min=0), default=1.0, help="Price of a replica, in any unit per time.")
@_target_options
@click.option("--percentile", type=FiniteRange(0, 100, max_open=True), default=0.0, help="Of latencies; 0 is the mean.")
@click.option("--class", "classes", multiple=True, metavar="ttft=S,itl=S,...", help="One more SLO; repeatable.")
@lengths(step=4)
@click.option("--watch", "watch_s", type=FiniteRange(0, 3600), default=10.0, help="With --from-live: seconds.")
@click.option("--token", default="", envvar="ADMIN_TOKEN", help="With --from-live: the gateway's admin token.")
@click.option("--num-prompts", type=click.IntRange(min=10), default=200, help="With --from-sim: requests per load.")
@click.option("-o", "--output", help="A file, or redis://[USER:PASSWORD@]HOST[:PORT][/DB]?model=NAME; else printed.")
@click.option("--picture", type=FILE_PATH, help="Draw the profile to this PNG file.")
@click.option("--verify", is_flag=True, help="Predict every fifth point from the others and print the errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print the fit and each pair of lengths.")
def profile(
    *, deployment: str, benchmark: Path | None, from_sim: str | None, from_live: str | None, cost: float,
    classes: Sequence[str], output: str | None, picture: Path | None, verify: bool, verbose: bool, **options: Any,
) -> None:  # fmt: skip
    """Make the profile of a DEPLOYMENT: the requests per second that one replica carries inside an SLO.

    \b
    Examples:
      profile m-v100 --cost 1.0 --ttft 2 -o "redis://localhost:6379/?model=m"
      profile m-l20 --from-sim L20 --ttft 2 --itl 0.05 --percentile 90 -o l20.json
    """
    from optimizer.profiling.destinations import UnwrittenError, check, write
    from optimizer.profiling.making import Wanted
    from optimizer.profiling.points import parse_points

    if (benchmark is not None) + (from_sim is not None) + (from_live is not None) > 1:
        raise click.UsageError("--benchmark, --from-sim and --from-live exclude each other")
    with told_problems():
        if output is not None:
            check(output)
        targets = checked(Targets(**{name: options[name] for name in TARGETS}, percentile=options["percentile"]))
        others = tuple(parse_targets(text) for text in classes)
        if from_sim is not None:
            measured, how = _simulated(from_sim, (targets, *others), options)
        elif from_live is not None:
            measured, how = _learned(from_live, deployment, (targets, *others), options)
        else:
            file = benchmark or Path("result") / f"{deployment}.jsonl"
            measured, how = read_file(file, parse_points), f"measured: {file.name}"
        source = {**measured.about, "by": how}
        found = _made(measured, Wanted(deployment, cost, targets, others, source))
    if picture is not None:
        _draw(found, picture)
    if verify:
        _verify(measured)
    _tell(found, verbose)
    try:
        click.echo(f"{write(output, found.page)}: written" if output is not None else _text(found.page))
    except UnwrittenError as error:
        raise click.ClickException(str(error)) from error


def _simulated(gpu: str, slos: Sequence[Targets], options: dict[str, Any]) -> tuple["Measured", str]:
    """Return the knees of an engine model, and how they were found."""
    from forebay.profiling.grid import Grid, Known
    from forebay.profiling.model_meter import about, model_meter
    from forebay.profiling.running import measure_all
    from optimizer.input.reading import InputError
    from optimizer.profiling.points import Measured
    from optimizer.profiling.steady import Span

    try:
        meter = model_meter(gpu, Span(options["num_prompts"]))
    except (ValueError, OSError) as error:
        raise InputError([str(error)]) from error
    known = Known()
    inputs, outputs = grid_lengths(options)
    grid = Grid(inputs, outputs, slos=slos, max_model_len=meter.max_model_len)
    if not grid.cells():
        raise InputError([f"all lengths are longer than the engine takes, {meter.max_model_len} tokens"])
    asyncio.run(measure_all(meter, grid, known))
    return Measured(known.points(), about(gpu, meter)), f"forebay profile --from-sim {gpu}"


def _learned(url: str, deployment: str, slos: Sequence[Targets], options: dict[str, Any]) -> tuple["Measured", str]:
    """Return what a gateway's page predicts, and how it was found."""
    from forebay.profiling.fleet_page import readings
    from optimizer.profiling.live import fit_of, predicted

    try:
        pages = readings(url, options["token"], options["watch_s"])
    except OSError as error:
        raise click.ClickException(str(error)) from error
    fit = fit_of(pages, deployment)
    click.echo(f"note: pods had {fit.max_batch} requests at once at most; more are not planned for", err=True)
    inputs, outputs = grid_lengths(options)
    cells = [(out, into) for out in outputs for into in inputs if fit.kv_tokens is None or into + out <= fit.kv_tokens]
    return predicted(fit, cells, slos), "forebay profile --from-live"


def _made(measured: "Measured", wanted: "Wanted") -> "Made":
    from optimizer.profiling.making import made
    from simulator.calibration.fit import not_negative_least_squares

    return made(measured, wanted, time.time(), not_negative_least_squares)


def _draw(found: "Made", file: Path) -> None:
    from forebay.local.extras import require

    require("--picture", "simulate", "matplotlib")
    from optimizer.profiling.picture import draw

    draw(found.page, file)
    click.echo(f"{file}: drawn", err=True)


def _verify(measured: "Measured") -> None:
    from optimizer.profiling.fitting import verified
    from simulator.calibration.fit import not_negative_least_squares

    errors = verified(measured, not_negative_least_squares)
    if errors is None:
        click.echo("verify: too few points for a fit without each fifth", err=True)
    else:
        click.echo(
            f"verify: E2E of {errors['points']:g} points, predicted from the others: error {errors['median']:.1%} "
            f"(median), {errors['largest']:.1%} (largest)",
            err=True,
        )


def _tell(found: "Made", verbose: bool) -> None:
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if verbose and "fit" in found.page:
        click.echo(f"fit: {found.page['fit']}", err=True)
    for out, row in zip(found.page["indexes"][0], found.page["tputs"], strict=True) if verbose else ():
        for into, rate in zip(found.page["indexes"][1], row, strict=True):
            click.echo(f"{into} input, {out} output tokens: {rate:.4g} req/s", err=True)


def _text(page: dict[str, Any]) -> str:
    return json.dumps(page, allow_nan=False)


def aibrix_gen_profile() -> None:
    """Run the command under the name that AIBrix gave it."""
    renamed(profile, "aibrix_gen_profile")()
