"""The command `plan`: the cheapest mix of GPUs for a load, from files.

Lives here: options, reading and printing.  Not here: the plan (optimizer).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import json
import time
from pathlib import Path

import click

from forebay.cli.options import FILE_PATH

BAD_INPUT = 2
"""Exit status for an input that is no case."""


@click.command()
@click.option("--json", "case_file", type=FILE_PATH, required=True, help="The case, as docs/contracts.md section 10.")
def plan(*, case_file: Path) -> None:
    """Print the cheapest replicas that serve a load, and each type's share of it, as one line of JSON.

    Without the extra `optimizer` (HiGHS) the plan is greedy and may be dearer; "solver" says which it is.
    """
    from optimizer.case_json import CaseError, parse_case, plan_page
    from optimizer.plan import make_plan
    from optimizer.solver.linear import is_installed

    try:
        case = parse_case(case_file.read_bytes())
    except CaseError as error:
        raise _bad_input([f"{case_file}: {problem}" for problem in error.problems]) from error
    except OSError as error:
        raise _bad_input([f"{case_file}: cannot be read: {error.strerror}"]) from error
    if not is_installed():
        click.echo("forebay: without the extra optimizer (HiGHS) the plan is greedy and may be dearer", err=True)
    started_s = time.perf_counter()
    made = make_plan(case)
    click.echo(json.dumps(plan_page(case, made, time.perf_counter() - started_s)))


def _bad_input(problems: list[str]) -> click.exceptions.Exit:
    """Print each problem as a line and return what to raise."""
    for problem in problems:
        click.echo(f"forebay: {problem}", err=True)
    return click.exceptions.Exit(BAD_INPUT)
