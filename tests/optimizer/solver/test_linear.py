"""Programs solved by the real HiGHS."""

import builtins

import pytest

from optimizer.solver import linear
from optimizer.solver.linear import Budget, Model, Outcome


def a_knapsack(whole: bool) -> Model:
    """Minimise 2a + 3b with 4a + 5b >= 11, a <= 1."""
    model = Model()
    a, b = model.column(2.0, upper=1.0, whole=whole), model.column(3.0, whole=whole)
    model.row([(a, 4.0), (b, 5.0)], lower=11.0)
    return model


@pytest.mark.parametrize(("whole", "objective", "values"), [(False, 6.2, [1.0, 1.4]), (True, 8.0, [1.0, 2.0])])
def test_an_optimum_has_itself_as_bound_and_takes_time_from_the_budget(whole, objective, values):
    budget = Budget(5.0)

    outcome = a_knapsack(whole).solve(budget, 1e-9)

    assert (pytest.approx(objective), pytest.approx(objective), pytest.approx(values)) == (
        outcome.objective,
        outcome.bound,
        outcome.values,
    )
    assert 4.0 < budget.left_s < 5.0


def test_what_has_no_solution_is_none():
    model = Model()
    model.row([(model.column(1.0, upper=1.0), 1.0)], lower=2.0)

    assert model.solve(Budget(5.0), 1e-9) is None


def test_a_start_is_no_worse_than_what_is_returned():
    outcome = a_knapsack(whole=True).solve(Budget(5.0), 1e-9, start=[0.0, 3.0])

    assert 8.0 == pytest.approx(outcome.objective)


def test_an_optimum_that_is_worse_than_the_start_is_solved_again_without_presolve(monkeypatch: pytest.MonkeyPatch):
    ways = []

    def run(_model: Model, _budget: Budget, _tolerance: float, _start: object, presolve: str) -> Outcome:
        ways.append(presolve)
        worse = 9.0 if presolve == "choose" else 8.0
        return Outcome([0.0, 3.0], worse, worse)

    monkeypatch.setattr(Model, "_run", run)

    assert 8.0 == a_knapsack(whole=True).solve(Budget(5.0), 1e-9, start=[1.0, 2.0]).objective
    assert ["choose", "off"] == ways


def test_an_optimum_that_is_not_proven_is_solved_again_without_presolve(monkeypatch: pytest.MonkeyPatch):
    def run(_model: Model, _budget: Budget, _tolerance: float, _start: object, presolve: str) -> Outcome:
        return Outcome([1.0, 2.0], 8.0, 6.0 if presolve == "choose" else 8.0)

    monkeypatch.setattr(Model, "_run", run)

    assert 8.0 == a_knapsack(whole=True).solve(Budget(5.0), 1e-9, start=[1.0, 2.0]).bound


def test_it_writes_nothing_on_standard_output(capfd: pytest.CaptureFixture[str]):
    a_knapsack(whole=True).solve(Budget(5.0), 1e-9)

    assert ("", "") == tuple(capfd.readouterr())


def test_without_highspy_it_says_so(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def refuse(name: str, *more: object) -> object:
        if name == "highspy":
            raise ImportError(name)
        return real(name, *more)

    assert linear.is_installed()
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert not linear.is_installed()
