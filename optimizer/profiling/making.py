"""A profile from measured points: of each pair of lengths the highest rate inside the SLO.

Among the rates that keep the SLO those count at which no backlog grows; the highest of them, and else the lowest rate
that keeps the SLO, as AIBrix's `gen_profile` has it.

Lives here: the choice, and the profile's fields.  Not here: the model's fit (fitting), writing (destinations).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optimizer.input.reading import InputError
from optimizer.profiling.fitting import Solve, fit_page, fitted
from optimizer.profiling.points import Cell, Measured, Point, grid_of
from optimizer.profiling.targets import Targets

VERSION = 2
SHOWN = 12
"""Cells that a message lists."""

Rows = list[list[float]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A profile that is wanted: its names, price and SLOs."""

    deployment: str
    cost: float
    targets: Targets
    classes: tuple[Targets, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """A profile's fields, and sentences on what was repaired or is missing."""

    page: dict[str, Any]
    notes: tuple[str, ...]


def made(measured: Measured, wanted: Wanted, created: float, solve: Solve) -> Made:
    """Return the profile of a deployment.  Raises InputError."""
    cells = measured.cells()
    outputs, inputs = grid_of(cells)
    limit = measured.about.get("max_model_len")
    _check_grid(cells, outputs, inputs, limit)
    shape = outputs, inputs
    found, lower, notes = _throughputs(cells, shape, wanted.targets)
    if not any(map(any, found)):
        raise InputError([f"no measured rate keeps the SLO {_told(wanted.targets)}"])
    shown = {cell: _chosen(points, wanted.targets) or points[0] for cell, points in cells.items()}
    page: dict[str, Any] = {
        "gpu": wanted.deployment, "cost": wanted.cost, "tputs": found,
        "indexes": [list(outputs), list(inputs)], "created": created,
        **{name.lower(): _grid({cell: point.mean(name) for cell, point in shown.items()}, shape)
           for name in ("E2E", "TTFT", "TPOT")},
        "slos": wanted.targets.page(), "version": VERSION, "source": dict(wanted.source),
    }  # fmt: skip
    if lower:
        page["tput_lo"] = lower
    if limit:
        page["max_model_len"] = limit
    if fit := fitted(measured, solve):
        page["fit"] = fit_page(fit, measured)
    else:
        notes.append("no fit: the measurements do not tell its parameters")
    for targets in wanted.classes:
        grid, _, more = _throughputs(cells, shape, targets)
        page.setdefault("classes", []).append({"slos": targets.page(), "tputs": grid})
        notes += [f"{_told(targets)}: {note}" for note in more]
    return Made(page, tuple(notes))


def _told(targets: Targets) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in targets.page().items())


def _check_grid(
    cells: Mapping[Cell, Sequence[Point]], outputs: Sequence[int], inputs: Sequence[int], limit: float | None
) -> None:
    """Raise InputError when lengths are missing that the engine could take."""
    missing = [
        f"{out} output, {into} input tokens"
        for out in outputs
        for into in inputs
        if (out, into) not in cells and (limit is None or out + into <= limit)
    ]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise InputError([f"the grid has holes, not measured: {'; '.join(missing[:SHOWN])}{more}"])


def _chosen(points: Sequence[Point], targets: Targets) -> Point | None:
    """Return the point of the knee; None = no rate keeps the SLO.  Arrivals only: a closed loop has no bursts."""
    passing = [point for point in points if point.load.concurrency is None and targets.is_kept(point)]
    steady = [point for point in passing if not point.is_backlogged]
    return steady[-1] if steady else next(iter(passing), None)


def _throughputs(
    cells: Mapping[Cell, Sequence[Point]], shape: tuple[Sequence[int], Sequence[int]], targets: Targets
) -> tuple[Rows, Rows | None, list[str]]:
    """Return throughputs and their lower bounds, both monotone, and what was repaired."""
    means: dict[Cell, float] = {}
    lows: dict[Cell, float | None] = {}
    for cell, points in cells.items():
        point = _chosen(points, targets)
        means[cell] = point.mean("TPUT") if point else 0.0
        error = targets.error(point) if point else 0.0
        lows[cell] = None if error is None else means[cell] / (1 + error)
    found, notes = _monotone(_grid(means, shape), shape)
    if any(low is None for low in lows.values()):
        return found, None, notes
    lower, _ = _monotone(_grid({cell: low or 0.0 for cell, low in lows.items()}, shape), shape)
    return found, lower, notes


def _grid(values: Mapping[Cell, float], shape: tuple[Sequence[int], Sequence[int]]) -> Rows:
    """Return the values by output and input length; lengths beyond the engine's limit have 0."""
    return [[values.get((out, into), 0.0) for into in shape[1]] for out in shape[0]]


def _monotone(rows: Rows, shape: tuple[Sequence[int], Sequence[int]]) -> tuple[Rows, list[str]]:
    """Return the throughputs such that longer requests are nowhere faster, and a line for each that was changed.

    A 0 becomes the highest of longer requests, because what these keep, shorter ones keep; else the longer is lowered.
    """
    outputs, inputs = shape
    repaired = [list(row) for row in rows]
    notes = []
    for o, out in enumerate(outputs):
        for i, into in enumerate(inputs):
            value = rows[o][i] or max(max(row[i:]) for row in rows[o:])
            shorter = [*(repaired[o - 1][i : i + 1] if o else []), *(repaired[o][i - 1 : i] if i else [])]
            repaired[o][i] = min([value, *shorter])
            if repaired[o][i] != rows[o][i]:
                notes.append(
                    f"{out} output, {into} input tokens: {rows[o][i]:g} req/s counts as {repaired[o][i]:g}, because "
                    "longer requests cannot be faster to serve"
                )
    return repaired, notes
