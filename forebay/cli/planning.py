"""The command `plan`: the cheapest mix of GPUs for a load, from files.

Lives here: options, reading and printing.  Not here: the plan (optimizer).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay.cli.options import FILE_PATH, SLO, FiniteRange, read_file, told_problems
from optimizer.input.reading import InputError

if TYPE_CHECKING:
    from optimizer.planning.what_if import Question
    from optimizer.profiles.capacity import Slo
    from optimizer.profiles.profile import Profile
    from optimizer.solver.case import Case
    from optimizer.solver.joint import JointCase

LONGEST_S = 366 * 86_400.0
"""Longest trace that is read, in seconds of its clock: each 10 s of it take time, empty ones too (chosen)."""


@click.command()
@click.option("--json", "case_file", type=FILE_PATH, help="A case, as docs/contracts.md section 10 says; instead of:")
@click.option("--trace", type=FILE_PATH, help="Requests: Mooncake's or our JSON lines; Azure, ServeGen or VTC CSV.")
@click.option(
    "--profiles", type=FILE_PATH, multiple=True, help="Profile of a GPU type, a JSON file or bundled: L20; repeatable."
)
@SLO
@click.option("--margin", type=FiniteRange(1, 1e6), default=1.5, help="Plan for delays so many times as profiled.")
@click.option("--speedup", type=FiniteRange(min=0, min_open=True), default=1.0, help="Speed up the arrivals.")
def plan(
    *, case_file: Path | None, trace: Path | None, profiles: tuple[Path, ...], slo: "Slo | None", margin: float,
    speedup: float,
) -> None:  # fmt: skip
    """Print the cheapest replicas that serve a load, and each type's share of it, as one line of JSON.

    The load is a case, of several models if it has `models`, or the busiest time of a trace.  Without the extra
    `optimizer` (HiGHS) the plan is greedy and may be dearer; "solver" says which it is.
    """
    from optimizer.solver.joint_json import parse_input

    with told_problems():
        if case_file is not None and trace is None and not profiles:
            page = _answer(read_file(case_file, parse_input))
        elif case_file is None and trace is not None and profiles:
            asked = _question(trace, profiles, slo, margin, speedup)
            page = _answer(asked.case) | {
                "buckets": [asdict(bucket) for bucket in asked.buckets],
                "margin": margin,
                "notes": asked.notes,
            }
        else:
            raise click.UsageError("needs --json CASE.json, or --trace and --profiles")
    click.echo(json.dumps(page))


def _answer(case: "Case | JointCase") -> dict[str, Any]:
    from optimizer.solver.case_json import plan_page
    from optimizer.solver.joint import JointCase, make_joint_plan
    from optimizer.solver.joint_json import joint_page
    from optimizer.solver.linear import is_installed
    from optimizer.solver.plan import make_plan

    if not is_installed():
        click.echo("forebay: without the extra optimizer (HiGHS) the plan is greedy and may be dearer", err=True)
    started_s = time.perf_counter()
    if isinstance(case, JointCase):
        together = make_joint_plan(case)
        return joint_page(case, together, time.perf_counter() - started_s)
    made = make_plan(case)
    return plan_page(case, made, time.perf_counter() - started_s)


def _question(trace: Path, files: tuple[Path, ...], slo: "Slo | None", margin: float, speedup: float) -> "Question":
    from optimizer.planning.cases import buckets_of
    from optimizer.planning.what_if import Request, faster, peak_demand, question, windows_of
    from simulator.replay.traces import InvalidTraceError, read

    problems: list[str] = []
    found: dict[str, Profile] = {}
    for file in files:
        try:
            profile = _profile(file)
        except InputError as error:
            problems += error.problems
        else:
            if profile.deployment in found:
                problems.append(f"{file}: gpu = {profile.deployment}, has a profile already")
            found[profile.deployment] = profile
    try:
        rows = read(trace)
    except InvalidTraceError as error:
        problems.append(str(error))
    except OSError as error:
        problems.append(f"{trace}: cannot be read: {error.strerror}")
    if problems:
        raise InputError(problems)
    requests = faster([Request(row.timestamp / 1000, row.input_length, row.output_length) for row in rows], speedup)
    if requests and requests[-1].at_s > LONGEST_S:
        raise InputError([f"{trace}: lasts {requests[-1].at_s:g} s, must be at most {LONGEST_S:g} s"])
    buckets = buckets_of(peak_demand(windows_of(requests)))
    return question(buckets, list(found.values()), slo, margin)


def _profile(file: Path) -> "Profile":
    """Return the profile in a file, or the bundled one of that name.  Raises InputError."""
    from optimizer.profiles.profile import parse_profile
    from optimizer.profiling.bundled import bundled

    return read_file(file, parse_profile) if file.exists() else parse_profile(bundled(str(file)))
