"""The command `download`: a model or an adapter from its source into a folder.

It is `aibrix_download` too, under the name and with the options that people know.

Lives here: options and the progress bar.  Not here: downloading (runtime.downloads).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import asyncio
import json
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from forebay.cli.options import renamed
from runtime.settings import MODELS_FOLDER

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of shells."""


def _json_object(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Mapping[str, Any]:
    """Return what a JSON object has."""
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise click.BadParameter("must be JSON") from error
    if not isinstance(value, dict):
        raise click.BadParameter("must be a JSON object")
    return value


class Bar:
    """A progress bar on a terminal."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._done = 0

    def show(self, done: int, total: int | None) -> None:
        """Show how many bytes are there."""
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr, update_min_steps=1 << 20)
        self._bar.update(done - self._done)
        self._done = done

    def end(self) -> None:
        """Leave the line of the bar, if there is one."""
        if self._bar is not None:
            self._bar.render_progress()
            self._bar.render_finish()


@click.command()
@click.option(
    "--model-uri",
    required=True,
    help="hf://ORG/NAME[@REVISION], s3://, tos://, gs://, az://, https:// or a local path, which is not copied.",
)
@click.option(
    "--local-dir", envvar="DOWNLOADER_LOCAL_DIR", show_envvar=True, default=str(MODELS_FOLDER), help="Where to."
)
@click.option(
    "--model-name",
    envvar="DOWNLOADER_MODEL_NAME",
    show_envvar=True,
    help="Name in --local-dir.  [default: the last component of the URI]",
)
@click.option("--enable-progress-bar", is_flag=True, help="Show a progress bar, on a terminal.")
@click.option(
    "--download-extra-config", "options", callback=_json_object, help="JSON: ak, sk, endpoint, region, num_threads, ..."
)
def download(
    *, model_uri: str, local_dir: str, model_name: str | None, enable_progress_bar: bool, options: Mapping[str, Any]
) -> None:
    """Download a model or an adapter, whole or not at all, and print its path.

    Interrupted or killed, the same command goes on where it stood.  What is there already is not fetched again.
    """
    from forebay.local.extras import require

    require("forebay download", "runtime", "httpx")
    from runtime.downloader import DownloadError
    from runtime.downloads.downloading import Downloads
    from runtime.downloads.locations import name_of

    bar = Bar("downloading")
    report = {"on_progress": bar.show} if enable_progress_bar and sys.stderr.isatty() else {}
    downloads = Downloads(os.environ, random.Random(), trusts_options=True, **report)  # noqa: S311 - of pauses
    try:
        name = model_name or name_of(model_uri)
        path = asyncio.run(downloads.fetch(model_uri, name, Path(local_dir).absolute(), options))
    except DownloadError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("forebay: interrupted, run it again to go on", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        bar.end()
    click.echo(path)


def aibrix_download() -> None:
    """Run the command under the name that AIBrix gave it."""
    renamed(download, "aibrix_download")()
