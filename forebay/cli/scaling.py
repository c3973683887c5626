"""The command `scale-decide`: the autoscalers of Forebay for others' simulators, line by line.

Lives here: options, lines in and out.  Not here: reading a specification, and decisions (autoscaling).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli.options import FILE_PATH, read_file, told_problems
from optimizer.input.reading import InputError

if TYPE_CHECKING:
    from autoscaling.observation import Observation
    from autoscaling.spec import Spec


@click.command("scale-decide")
@click.option("--spec", "file", type=FILE_PATH, required=True, help="A PodAutoscaler object, YAML.")
def scale_decide(*, file: Path) -> None:
    """Read an observation per line, as JSON, and print the decision as a line, until the input ends.

    docs/contracts.md section 10 has the fields; those that are absent are unknown, never zero.  A bad line ends the
    command with status 2.
    """
    from autoscaling.autoscaler import autoscaler

    with told_problems():
        spec = read_file(file, _spec)
        for note in spec.notes:
            click.echo(f"forebay: {file}: {note}", err=True)
        scaler = autoscaler(spec)
        for observation in _observations(sys.stdin.buffer):
            decision = scaler.decide(observation)
            answer = {"desired": decision.desired, "reason": decision.reason, "next_s": decision.next_s}
            if decision.missing:
                answer["missing"] = decision.missing
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def _spec(text: bytes) -> "Spec":
    """Return the specification that a file gives.  Raises InputError."""
    import yaml

    from autoscaling.spec_reading import SpecError, read

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, impossible dates
        raise InputError([f"no YAML: {error}"]) from error
    if not isinstance(document, dict):
        raise InputError(["must be one PodAutoscaler object"])
    try:
        return read(document)
    except SpecError as error:
        raise InputError(error.problems) from error


def _observations(lines: Iterable[bytes]) -> Iterator["Observation"]:
    """Yield the observation of each line.  Raises InputError with the number of the line and the key."""
    import msgspec

    from autoscaling.observation import Observation

    last_s = float("-inf")
    for number, line in enumerate(lines, start=1):
        try:
            observation = msgspec.json.decode(line, type=Observation)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError([f"line {number}: {error}"]) from error
        if observation.now_s < last_s:
            raise InputError([f"line {number}: now_s = {observation.now_s:g}, must be >= that of the line before"])
        last_s = observation.now_s
        yield observation
