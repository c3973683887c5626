"""Option types that several commands share."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from forebay.local.engine_url import EngineUrl
    from optimizer.profiles.capacity import Slo

Read = TypeVar("Read")

FILE_PATH = click.Path(path_type=Path, dir_okay=False)
"""The path of a file; a missing one is an error only when it is opened."""
TOKEN = "ADMIN_TOKEN"  # noqa: S105 - the name of the variable that holds it
REDIS_URL = "redis://127.0.0.1:6379/0"
BAD_INPUT = 2
"""Exit status for input that cannot be used, as click's for options."""
DIRECTORY_PATH = click.Path(path_type=Path, file_okay=False)
"""The path of a directory, which need not exist."""


class FiniteRange(click.FloatRange):
    """A range of numbers, without `nan` and `inf`: a plain FloatRange takes both."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number.  Raises click.BadParameter."""
        if not isfinite(number := click.FLOAT.convert(value, param, ctx)):
            self.fail(f"{value} must be a finite number.", param, ctx)
        return float(super().convert(number, param, ctx))


def _engine_urls_of(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple["EngineUrl", ...]:
    """Return the URLs of a repeatable option whose values may be lists with commas, each once."""
    from forebay.local.engine_url import parse_engine_url

    urls = []
    for text in filter(None, (part.strip() for value in values for part in value.split(","))):
        try:
            urls.append(parse_engine_url(text))
        except ValueError as error:
            raise click.BadParameter(f"{text}: {error}") from error
    if values and not urls:
        raise click.BadParameter("names no URL")
    return tuple(dict.fromkeys(urls))


ENGINE_URLS = click.option(
    "--engine-url",
    "engine_urls",
    multiple=True,
    callback=_engine_urls_of,
    metavar="URL[,URL]",
    help="Engines of yours, http://host:port each; repeatable.  They are asked which models they serve.",
)
"""The option that names engines by their URLs."""


def gpu_of(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the name or file of a GPU profile, which must be one that the simulator can read, or empty."""
    from simulator.calibration.gpu_file import load_gpu

    try:
        if value:
            load_gpu(value)
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error)) from error
    return value


@contextmanager
def told_problems() -> Iterator[None]:
    """Print each problem of an InputError on a line, and exit with BAD_INPUT."""
    from optimizer.input.reading import InputError

    try:
        yield
    except InputError as error:
        for problem in error.problems:
            click.echo(f"forebay: {problem}", err=True)
        raise click.exceptions.Exit(BAD_INPUT) from error


def read_file(file: Path, parse: Callable[[bytes], Read]) -> Read:
    """Return what a file holds.  Raises InputError with the name of the file in each line."""
    from optimizer.input.reading import InputError

    try:
        return parse(file.read_bytes())
    except OSError as error:
        raise InputError([f"{file}: cannot be read: {error.strerror}"]) from error
    except InputError as error:
        raise InputError([f"{file}: {problem}" for problem in error.problems]) from error


def lengths(step: int) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of a grid of input and output lengths."""

    def add(command: Any) -> Any:
        command = click.option("--step", type=click.IntRange(2), default=step, help="Factor between lengths.")(command)
        for name, what, bound, default in (
            ("--output-limit", "output", "Longest", 4096), ("--output-start", "output", "Shortest", 4),
            ("--input-limit", "input", "Longest", 4096), ("--input-start", "input", "Shortest", 4),
        ):  # fmt: skip
            text = f"{bound} {what}, in tokens."
            command = click.option(name, type=click.IntRange(1, 10**7), default=default, help=text)(command)
        return command

    return add


def grid_lengths(options: Mapping[str, Any]) -> tuple[Sequence[int], Sequence[int]]:
    """Return the input and the output lengths that the options of `lengths` name."""
    inputs, outputs = (
        [round(value) for value in powers(options[f"{name}_start"], options[f"{name}_limit"], options["step"])]
        for name in ("input", "output")
    )
    return inputs, outputs


def powers(start: float, limit: float, step: float) -> Sequence[float]:
    """Return start, start x step and so on, up to the limit.  Raises click.BadParameter when there is none."""
    if start > limit:
        raise click.BadParameter(f"start = {start:g}, must be at most the limit, {limit:g}")
    values = [start]
    while values[-1] * step <= limit:
        values.append(values[-1] * step)
    return values


def renamed(command: click.Command, name: str) -> click.Command:
    """Return a command as a program of that name, with `--version`, which says whose it is."""
    version = click.version_option(
        metadata.version("forebay"), prog_name=name, message="%(prog)s of Forebay, version %(version)s"
    )
    return version(click.Command(name, SETTINGS, command.callback, list(command.params), help=command.help))


SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "show_default": True}
"""Settings of all commands."""


def address_of_run(data: Path, variable: str, default: str) -> str:
    """Return an address of a running `forebay up` with this directory, by its name in DIR/env; else the default."""
    with suppress(OSError):
        for line in (data / "env").read_text().splitlines():
            name, _, value = line.partition("=")
            if name == variable:
                return value.strip('"')
    return default


def address_of(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return an address to listen on."""
    from gateway.config.addresses import split_address

    try:
        split_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


def _redis_url_of(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """Return the URL; without one that of the environment, as for a gateway."""
    from gateway.config.addresses import redis_url
    from gateway.config.source import add_environment

    found: dict[str, Any] = {"redis": {} if value is None else {"url": value}}
    add_environment(found, os.environ)
    try:
        return redis_url(found["redis"].get("url", REDIS_URL))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def redis_options(command: Any) -> Any:
    """Add the options that name the Redis of the gateways."""
    command = click.option("--redis-cluster", is_flag=True, help="The URL is of a Redis Cluster.")(command)
    text = f"Redis of the gateways; else of REDIS_HOST, REDIS_PORT and REDIS_PASSWORD, or {REDIS_URL}."
    return click.option("--redis", "redis_url", callback=_redis_url_of, metavar="URL", help=text)(command)


def slo_of(_context: click.Context, _parameter: click.Parameter, value: str | None) -> "Slo | None":
    """Return the targets of `ttft=2,itl=0.05,e2e=10`, in seconds."""
    from optimizer.profiles.capacity import Slo

    if value is None:
        return None
    targets: dict[str, float] = {}
    for part in value.split(","):
        name, _, text = part.partition("=")
        if name not in ("ttft", "itl", "e2e") or f"{name}_s" in targets or not text:
            raise click.BadParameter(f"{part!r}: must be ttft=SECONDS, itl=SECONDS or e2e=SECONDS, each once")
        targets[f"{name}_s"] = FiniteRange(min=0, min_open=True)(text)
    return Slo(**targets)


SLO = click.option("--slo", callback=slo_of, help="ttft=S,itl=S,e2e=S in seconds, each optional; default: as profiled.")
"""The option that names targets of latencies."""
