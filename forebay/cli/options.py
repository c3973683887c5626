"""Option types that several commands share."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from forebay.local.engine_url import EngineUrl

FILE_PATH = click.Path(path_type=Path, dir_okay=False)
"""The path of a file; a missing one is an error only when it is opened."""
DIRECTORY_PATH = click.Path(path_type=Path, file_okay=False)
"""The path of a directory, which need not exist."""


def engine_urls_of(
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
