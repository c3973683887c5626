"""The other formulations, whose optima are known."""

import shutil
from math import inf
from pathlib import Path

import pytest

from bench.formulations import Solved, by_cbc, by_highs, fractions, slices
from optimizer.solver.linear import Model
from tests.support.cases import a_case, a_type

CASE = a_case([1.5, 1.5], a_type("a", 1.0, [1.0, 0.0]), a_type("b", 1.5, [1.0, 1.0]))
"""One a and two b carry it in fractions; of slices of 0.375 an a takes two, and the rest is too much for two b."""


@pytest.mark.parametrize(("model", "cost"), [(fractions(CASE), 4.0), (slices(CASE), 4.5)])
def test_formulations_have_their_optimum(model: Model, cost: float):
    solved = by_highs(model, limit_s=10.0)

    assert (pytest.approx(cost), True) == (solved.cost, solved.optimal)


def test_what_has_no_solution_costs_infinitely_much():
    model = Model()
    model.row([(model.column(whole=True, upper=1.0), 1.0)], lower=2.0)

    assert (inf, False) == (by_highs(model, 1.0).cost, by_highs(model, 1.0).optimal)


@pytest.mark.skipif(shutil.which("cbc") is None, reason="CBC is not installed (Debian: coinor-cbc)")
def test_cbc_agrees(tmp_path: Path):
    solved = by_cbc("cbc", fractions(CASE), 10.0, tmp_path)

    assert (Solved(solved.seconds, pytest.approx(4.0), True), True) == (solved, solved.seconds > 0)
