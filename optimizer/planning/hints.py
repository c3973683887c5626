"""Hints of plans: which deployment should serve which lengths, as gateways read them.

The shares are those of the replicas that are ready, as far as they can serve a cell, and of the plan for the rest: a
request is not sent to a type that is still starting.

Lives here: plans to hints.  Not here: their format (traffic), routing by them (routing).
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import TypeVar

from optimizer.planning.cases import Grid
from optimizer.profiles.capacity import Slo
from optimizer.solver.case import Case
from optimizer.solver.plan import Plan
from optimizer.solver.shares import split
from traffic.hint import Hint, Weights

Cell = TypeVar("Cell")
Rows = tuple[tuple[Cell, ...], ...]
"""By output and input length."""


def hint_of(case: Case, plan: Plan, grid: Grid, replicas: Mapping[str, int], ready: Mapping[str, int]) -> Hint:
    """Return the hint of a plan, without version, time and SLO; the types of the case are `namespace/name`.

    `replicas` are published, `ready` those of them that serve already, by type.
    """
    names, width = [gpu.name.partition("/")[2] for gpu in case.types], len(grid.inputs)
    draft = split(case, [min(replicas[gpu.name], ready[gpu.name]) for gpu in case.types])
    served = draft.shares if draft else plan.shares
    cells = [
        _weights(names, served, bucket) or _weights(names, plan.shares, bucket) for bucket in range(len(case.rates))
    ]
    share = _rows(cells, width)
    unserved = [(*divmod(bucket, width), part) for bucket, part in enumerate(plan.unserved) if part > 0]
    return Hint(
        version=0,
        created_s=0.0,
        outputs=grid.outputs,
        inputs=grid.inputs,
        replicas=_by_name(names, [replicas[gpu.name] for gpu in case.types]),
        share=share,
        in_share=_in_shares(grid, share),
        throughput={name: _rows(gpu.throughput, width) for name, gpu in zip(names, case.types, strict=True)},
        unserved=tuple(unserved),
        cost=fsum(gpu.cost * replicas[gpu.name] for gpu in case.types),
    )


def targets_of(slo: Slo | None) -> dict[str, float] | None:
    """Return targets in seconds by name; None = there are none."""
    targets = {"ttft": slo.ttft_s, "itl": slo.itl_s, "e2e": slo.e2e_s} if slo else {}
    return {name: value for name, value in targets.items() if value is not None} or None


def _rows(cells: Sequence[Cell], width: int) -> Rows[Cell]:
    """Return the buckets of a grid by output and input length."""
    return tuple(tuple(cells[start : start + width]) for start in range(0, len(cells), width)) if width else ()


def _by_name(names: Sequence[str], replicas: Sequence[int]) -> dict[str, int]:
    """Return the sums by name: deployments of one name in several namespaces are one to gateways."""
    return {name: sum(n for of, n in zip(names, replicas, strict=True) if of == name) for name in names}


def _weights(names: Sequence[str], shares: Sequence[Sequence[float]], bucket: int) -> Weights:
    """Return the shares of a bucket by name; they add up to one, or there are none."""
    column = [row[bucket] for row in shares]
    total, weights = fsum(column), dict.fromkeys(names, 0.0)
    for name, share in zip(names, column, strict=True):
        weights[name] += share
    return {name: share / total for name, share in weights.items() if share > 0}


def _in_shares(grid: Grid, share: Rows[Weights]) -> tuple[Weights, ...]:
    """Return the weights by input length alone: the mean over the outputs that such inputs have.

    An input length without requests has the outputs of all.
    """
    rates = _rows([bucket.rate for bucket in grid.buckets], len(grid.inputs))
    overall = [fsum(row) for row in rates]
    columns = ([row[column] for row in rates] for column in range(len(grid.inputs)))
    return tuple(
        _mean([row[column] for row in share], outputs if any(outputs) else overall)
        for column, outputs in enumerate(columns)
    )


def _mean(cells: Sequence[Weights], parts: Sequence[float]) -> Weights:
    """Return the mean of weights, by parts; cells that nobody serves count for nothing."""
    known = [(cell, part) for cell, part in zip(cells, parts, strict=True) if cell]
    if not any(part for _, part in known):
        known = [(cell, 1.0) for cell, _ in known]
    total = fsum(part for _, part in known)
    names = dict.fromkeys(name for cell, _ in known for name in cell)
    return {name: fsum(part * cell.get(name, 0.0) for cell, part in known) / total for name in names}
