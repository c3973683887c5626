"""Two formulations of the same planning problem, for HiGHS and CBC, beside which plans are measured.

Lives here: fractions (our own model, stated anew) and slices (Griggs et al. 2024, arXiv 2404.14527, section 5: each
bucket is cut into slices, each of which goes to one type), and a run of CBC.
"""

import re
import subprocess
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

from optimizer.solver.case import Case
from optimizer.solver.linear import Budget, Model

SLICES = 4
"""Slices of a bucket, as AIBrix has it."""
UNLIMITED = 1e-9


@dataclass(frozen=True, slots=True)
class Solved:
    """Seconds that it took and the cost that was reached; infinite when none was."""

    seconds: float
    cost: float
    optimal: bool


def fractions(case: Case) -> Model:
    """Return the model with a share of each bucket for each type."""
    return _model(case, pieces=1, whole=False)


def slices(case: Case) -> Model:
    """Return the model in which each slice of a bucket goes to one type."""
    return _model(case, pieces=SLICES, whole=True)


def _model(case: Case, pieces: int, whole: bool) -> Model:
    model = Model()
    replicas = [model.column(gpu.cost, whole=True) for gpu in case.types]
    loads: list[list[tuple[int, float]]] = [[(column, -1.0)] for column in replicas]
    for bucket, types in case.carriers.items():
        for _ in range(pieces):
            parts = [(g, model.column(upper=1.0, whole=whole)) for g in types]
            model.row([(column, 1.0) for _, column in parts], lower=1.0, upper=1.0)
            for g, column in parts:
                loads[g].append((column, case.loads[g][bucket] / pieces))
                model.row([(column, 1.0), (replicas[g], -1.0)], upper=0.0)
    for terms in loads:
        model.row(terms, upper=0.0)
    return model


def by_highs(model: Model, limit_s: float) -> Solved:
    """Solve with the HiGHS that plans are solved with."""
    started_s = time.perf_counter()
    outcome = model.solve(Budget(limit_s), UNLIMITED)
    seconds = time.perf_counter() - started_s
    if outcome is None:
        return Solved(seconds, inf, False)
    return Solved(seconds, outcome.objective, outcome.objective - outcome.bound <= 1e-9 * outcome.objective)


def by_cbc(cbc: str, model: Model, limit_s: float, directory: Path) -> Solved:
    """Solve with a CBC program; the time is that of its process."""
    file, answer = directory / "model.mps", directory / "answer.txt"
    model.loaded().writeModel(str(file))
    started_s = time.perf_counter()
    command = [cbc, str(file), "sec", str(limit_s), "timeMode", "elapsed", "ratio", "0", "solve", "solu", str(answer)]
    subprocess.run(command, check=True, capture_output=True, timeout=limit_s + 60)
    seconds = time.perf_counter() - started_s
    verdict = answer.read_text().partition("\n")[0]
    found = re.search(r"objective value\s+(\S+)", verdict)
    return Solved(seconds, float(found[1]) if found else inf, verdict.startswith("Optimal"))
