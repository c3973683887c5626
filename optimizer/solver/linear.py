"""Linear programs with integer columns, solved by HiGHS.

Lives here: the model as rows and columns, the run, the only import of highspy.  Not here: any meaning of them.
"""
# ruff: noqa: PLC0415 - highspy is an extra, and takes 0.1 s to import

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import fsum, inf, isnan, nan
from typing import Any

INTEGER_TOLERANCE = 1e-6
"""HiGHS's default.  At 1e-9 it throws away optima that its own linear programs violate by more, and calls what is left
optimal (version 1.16: one of 300 small cases, 67 % too dear)."""
WORSE = 1e-6
"""A solution whose objective is worse than the start's by this share is worse."""
HEURISTICS_OFF = ("mip_heuristic_run_rins", "mip_heuristic_run_rens", "mip_heuristic_run_root_reduced_cost")
"""Left out where there is a start: they solve programs within the program, and took a third of the time of 10 types and
144 buckets (measured)."""
LEAST_S = 1e-3
"""A run is given at least so many seconds."""


def is_installed() -> bool:
    """Whether HiGHS is there (the extra `optimizer`); loads it."""
    try:
        import highspy  # noqa: F401 - to see whether it can be
    except ImportError:
        return False
    return True


@dataclass(slots=True)
class Budget:
    """Time that is left for several runs, in seconds."""

    left_s: float

    @contextmanager
    def half(self) -> Iterator["Budget"]:
        """Lend half of the time; what is left of that comes back."""
        half = Budget(self.left_s / 2)
        self.left_s -= half.left_s
        yield half
        self.left_s += half.left_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """A feasible solution."""

    values: Sequence[float]
    objective: float
    bound: float
    """No solution has a lower objective."""


@dataclass(slots=True)
class Model:
    """Columns with costs and bounds, rows of coefficients; minimised."""

    costs: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    presolve: bool = True
    """Whether HiGHS may simplify it first; with limits among the rows 1.16 then lost optima that it called proven."""
    _starts: list[int] = field(default_factory=lambda: [0])
    _columns: list[int] = field(default_factory=list)
    _coefficients: list[float] = field(default_factory=list)
    _row_lower: list[float] = field(default_factory=list)
    _row_upper: list[float] = field(default_factory=list)

    def column(self, cost: float = 0.0, lower: float = 0.0, upper: float = inf, whole: bool = False) -> int:
        """Add a column and return its index."""
        self.costs.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.whole.append(whole)
        return len(self.costs) - 1

    def row(self, terms: Iterable[tuple[int, float]], lower: float = -inf, upper: float = inf) -> None:
        """Add lower <= sum of coefficient x column <= upper."""
        for column, coefficient in terms:
            self._columns.append(column)
            self._coefficients.append(coefficient)
        self._starts.append(len(self._columns))
        self._row_lower.append(lower)
        self._row_upper.append(upper)

    def solve(self, budget: Budget, tolerance: float, start: Sequence[float] | None = None) -> Outcome | None:
        """Return an optimum, or the best solution that was found in the budget, which is charged; None = no solution.

        `tolerance` is how far a row of a linear program may be violated; `start` an integer solution to begin with.
        One that is worse than the start, or not proven though there was time, is no optimum, whatever HiGHS says, and
        is solved again without presolve, as is one that is no number: with it, optima were lost, and bounds left open,
        at tight tolerances.
        """
        outcomes = [self._run(budget, tolerance, start, "choose" if self.presolve else "off")]
        if self.presolve and not self._is_settled(outcomes[0], start) and budget.left_s > 0:
            outcomes.append(self._run(budget, tolerance, start, "off"))
        found = [each for each in outcomes if each and not isnan(each.objective)]
        return min(found, key=lambda each: (each.objective, -each.bound), default=None)

    def _is_settled(self, outcome: Outcome | None, start: Sequence[float] | None) -> bool:
        """Whether an outcome stands; that there is no solution does, unless there is one to begin with."""
        if outcome is None:
            return start is None
        return not isnan(outcome.objective) and (start is None or self._is_optimum(outcome, start))

    def _is_optimum(self, outcome: Outcome, start: Sequence[float]) -> bool:
        """Whether it is proven, and no worse than the start."""
        known = min(outcome.bound, self._objective(start))
        return outcome.objective <= known * (1 + WORSE)

    def _objective(self, values: Sequence[float]) -> float:
        return fsum(cost * value for cost, value in zip(self.costs, values, strict=True))

    def _run(self, budget: Budget, tolerance: float, start: Sequence[float] | None, presolve: str) -> Outcome | None:
        import highspy

        options: dict[str, bool | int | float | str] = {
            "threads": 1, "presolve": presolve, "time_limit": max(budget.left_s, LEAST_S),
            "small_matrix_value": 1e-12, "primal_feasibility_tolerance": tolerance, "dual_feasibility_tolerance": 1e-9,
            "mip_feasibility_tolerance": INTEGER_TOLERANCE, "mip_rel_gap": 0.0, "mip_abs_gap": 0.0,
            **({} if start is None else dict.fromkeys(HEURISTICS_OFF, False)),
        }  # fmt: skip
        highs = self.loaded()
        for name, value in options.items():
            highs.setOptionValue(name, value)
        if start is not None:
            solution = highspy.HighsSolution()
            solution.col_value = list(start)
            highs.setSolution(solution)
        highs.run()
        budget.left_s -= highs.getRunTime()
        info, optimal = highs.getInfo(), highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None
        values = list(highs.getSolution().col_value)
        objective = nan if any(map(isnan, values)) else float(info.objective_function_value)
        bound = float(info.mip_dual_bound) if any(self.whole) else objective if optimal else -inf
        return Outcome(values, objective, min(bound, objective))

    def loaded(self) -> Any:
        """Return a HiGHS that holds the model and prints nothing."""
        import highspy
        from highspy._core import _Highs  # highspy.Highs prints a banner on standard output when it is made

        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.costs), len(self._row_lower)
        model.col_cost_, model.col_lower_, model.col_upper_ = self.costs, self.lower, self.upper
        model.row_lower_, model.row_upper_ = self._row_lower, self._row_upper
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_, matrix.index_, matrix.value_ = self._starts, self._columns, self._coefficients
        if any(self.whole):
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            model.integrality_ = [kinds[whole] for whole in self.whole]
        highs = _Highs()
        highs.setOptionValue("output_flag", False)
        highs.passModel(model)
        return highs
