"""The command `doctor`: the findings on this machine and on an installation.

Lives here: which configuration is meant, printing.  Not here: looking (forebay.doctor).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli.options import DIRECTORY_PATH, FILE_PATH

if TYPE_CHECKING:
    from forebay.doctor.finding import Finding

_COLORS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command()
@click.option(
    "--config", "file", type=FILE_PATH, help="Configuration of the gateway; default: that of --data, if it is there."
)
@click.option("--data", type=DIRECTORY_PATH, default=Path(".forebay"), help="Directory of `forebay up`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each finding.")
def doctor(*, file: Path | None, data: Path, as_json: bool) -> None:
    """Say what is installed, reachable and misconfigured, and what to do about it.

    It changes nothing.  The exit status is 1 when there is a problem.
    """
    from forebay.doctor.finding import State

    findings = list(_findings(file or _of_run(data)))
    click.echo("\n".join(_as_json(findings) if as_json else _lines(findings)))
    if any(finding.state is State.PROBLEM for finding in findings):
        raise click.exceptions.Exit(1)


def _of_run(data: Path) -> Path | None:
    """Return the configuration of the last `forebay up` with this directory, if there was one."""
    return file if (file := data / "forebay.yaml").exists() else None


def _findings(file: Path | None) -> Iterator["Finding"]:
    from forebay.doctor.finding import Finding, State
    from forebay.doctor.machine import machine
    from forebay.doctor.servers import servers
    from gateway.config.certificates import all_file_problems
    from gateway.config.loading import ConfigurationError, load_with_models
    from routing.table import STRATEGIES

    yield from machine()
    if file is None:
        yield Finding(State.NOTE, "configuration", "none", "forebay init writes one; --config FILE names yours")
        return
    try:
        settings = load_with_models(file, os.environ, STRATEGIES, all_file_problems)
    except ConfigurationError as error:
        yield from (Finding(State.PROBLEM, "configuration", problem, f"edit {file}") for problem in error.problems)
        return
    yield Finding(State.OK, "configuration", str(file))
    yield from asyncio.run(servers(settings))


def _lines(findings: Sequence["Finding"]) -> Iterator[str]:
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        state = click.style(f"{finding.state:<7}", _COLORS[finding.state])
        yield f"{state}  {finding.subject:<{width}}  {finding.text}"
        if finding.next_step:
            yield f"{'':<{width + 11}}-> {finding.next_step}"


def _as_json(findings: Sequence["Finding"]) -> Iterator[str]:
    import orjson

    for finding in findings:
        yield orjson.dumps(finding._asdict()).decode()
