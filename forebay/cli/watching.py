"""The command `top`: the load of models and pods, live in the terminal.

Lives here: which gateway, how often, drawing.  Not here: what is shown (console.looking).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli.options import DIRECTORY_PATH, TOKEN, FiniteRange, address_of_run

if TYPE_CHECKING:
    from console.looking.client import Client
    from console.looking.screen import Screen

DEFAULT_HTTP = "http://127.0.0.1:8080"
_FROM_HOME, _TO_END = "\x1b[H", "\x1b[J"
"""Move the cursor to the first line; erase from it to the end of the screen (ECMA-48)."""
_SPARE_LINES = 1


@click.command()
@click.option(
    "--http", metavar="URL", help=f"`listen.http` of the gateway; default: that of --data, or {DEFAULT_HTTP}."
)
@click.option("--data", type=DIRECTORY_PATH, default=Path(".forebay"), help="Directory of `forebay up`.")
@click.option("--every", "period_s", type=FiniteRange(min=0.2), default=1.0, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Print one look and end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each look.")
def top(*, http: str | None, data: Path, period_s: float, once: bool, as_json: bool) -> None:
    """Show the load of models and pods, live, until Ctrl-C.

    With several workers in-flight requests are those of all, waiting requests those of the worker that answers.
    """
    from console.looking.client import CallError, Client

    url = http or address_of_run(data, "HTTP", DEFAULT_HTTP)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            _show(Client(url, os.environ.get(TOKEN, "")), url, period_s, once=once, as_json=as_json)
    except CallError as error:
        raise click.ClickException(f"{error}; forebay doctor says more") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _show(gateway: "Client", url: str, period_s: float, *, once: bool, as_json: bool) -> None:
    from console.looking.sample import take_sample
    from console.looking.screen import screen

    before = take_sample(gateway)
    if not (once or as_json):
        click.clear()  # does nothing where this is no terminal
    while True:
        time.sleep(period_s)
        now = take_sample(gateway)
        _print(screen(before, now), url, redraws=not once, as_json=as_json)
        if once:
            return
        before = now


def _print(shown: "Screen", url: str, *, redraws: bool, as_json: bool) -> None:
    from console.looking.screen import as_record, lines

    if as_json:
        import orjson

        click.echo(orjson.dumps(as_record(shown)))
        return
    is_terminal = redraws and sys.stdout.isatty()
    room = shutil.get_terminal_size().lines - 1 - _SPARE_LINES if is_terminal else 10**6
    text = "\n".join([f"Forebay at {url}", *lines(shown, room)])
    if is_terminal:
        text = _FROM_HOME + text.replace("\n", "\x1b[K\n") + _TO_END
    click.echo(text)
