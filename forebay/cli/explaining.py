"""The command `explain`: how a strategy scores each pod for a recorded request.

Lives here: reading files, printing a table.  Not here: the replay of the decision (gateway.fleet.replay).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from forebay.cli.options import FILE_PATH


@click.command()
@click.argument("request_file", metavar="REQUEST.json", type=FILE_PATH)
@click.option("--fleet", type=FILE_PATH, required=True, help="File with the pods, as /debug/fleet shows them.")
@click.option("--strategy", default="forebay", help="Strategy or mixture.")
@click.option("--hint", type=FILE_PATH, help="File with the optimizer's hint, as Redis holds it, for slo and its kind.")
def explain(*, request_file: Path, fleet: Path, strategy: str, hint: Path | None) -> None:
    """Show how a strategy scores each pod for a request.

    REQUEST.json is an entry of /debug/decisions, or an object with model, prompt_tokens and held ({pod: tokens}).
    """
    from gateway.fleet.hints import plan_of
    from gateway.fleet.replay import replay
    from traffic.hint_json import parse

    try:
        rng = random.Random(0)  # noqa: S311 - breaks ties
        plan = plan_of(parse(hint.read_bytes())) if hint else None
        decision, rows = replay(_read(request_file), _read(fleet), strategy, rng, plan)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(_table(rows)))
    click.echo(f"{decision.strategy} chooses {decision.pod.id}: {decision.reason}")


def _read(file: Path) -> Any:
    import orjson

    try:
        return orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{file}: {error}") from None


def _table(rows: Sequence[Mapping[str, object]]) -> list[str]:
    cells = [list(rows[0]), *[[_text(value) for value in row.values()] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
