"""Option types that several commands share."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from forebay.local.engine_url import EngineUrl

FILE_PATH = click.Path(path_type=Path, dir_okay=False)
"""The path of a file; a missing one is an error only when it is opened."""
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
