"""A linear regression that learns online: few terms, each with a prior and bounds, old observations decaying.

Lives here: the normal equations and their solution.  Not here: which quantities are explained by which (estimates).
An observation of n requests together is n observations: their features and totals are added up.
"""

from collections.abc import Sequence
from typing import NamedTuple

SETTLED_OBSERVATIONS = 64
"""After so many observations the coefficients are solved for only once in SOLVE_EVERY (chosen: they hardly move)."""
SOLVE_EVERY = 8


class Term(NamedTuple):
    """One coefficient: its value before anything is learned, the weight of that, and what it can be at all."""

    prior: float
    weight: float
    low: float
    high: float


class BoundedRegression:
    """Explains totals by features: total = sum of coefficient x feature.

    The weight of an observation falls with its size, as the variance of token counts grows with them; so the residuals
    of what is remembered add up to about nothing, and totals are met even where single requests are not.
    """

    def __init__(self, terms: Sequence[Term], decay_observations: float) -> None:
        self.coefficients = [term.prior for term in terms]
        self.count = 0
        self._terms = list(terms)
        self._decay = 1.0 - 1.0 / decay_observations
        size = len(terms)
        self._products = [[0.0] * size for _ in range(size)]
        self._moments = [0.0] * size

    def predict(self, features: Sequence[float]) -> float:
        """Return the expected total."""
        total = 0.0
        for coefficient, feature in zip(self.coefficients, features, strict=True):
            total += coefficient * feature
        return total

    def learn(self, features: Sequence[float], total: float, weight: float, requests: int = 1) -> None:
        """Learn from a total that `requests` requests had together.  O(terms^2), now and then O(terms^3)."""
        decay = self._decay**requests
        for i, row in enumerate(self._products):
            for j, feature in enumerate(features):
                row[j] = row[j] * decay + weight * features[i] * feature
            self._moments[i] = self._moments[i] * decay + weight * features[i] * total
        self.count += requests
        if self.count < SETTLED_OBSERVATIONS or self.count % SOLVE_EVERY < requests:
            self._solve()

    def _solve(self) -> None:
        """Set the coefficients; one outside of its bounds is set to the nearer one, and the others anew."""
        fixed: dict[int, float] = {}
        while True:
            solution = self._solution(fixed)
            for i, (value, term) in enumerate(zip(solution, self._terms, strict=True)):
                if i not in fixed and not term.low <= value <= term.high:
                    fixed[i] = term.low if value < term.low else term.high
                    break
            else:
                self.coefficients = solution
                return

    def _solution(self, fixed: dict[int, float]) -> list[float]:
        """Solve the normal equations by elimination; they are positive definite, because every term has a prior."""
        size = len(self._terms)
        rows = []
        for i, term in enumerate(self._terms):
            if i in fixed:
                rows.append([1.0 if i == j else 0.0 for j in range(size)] + [fixed[i]])
            else:
                row = [*self._products[i], self._moments[i] + term.weight * term.prior]
                row[i] += term.weight
                for j, value in fixed.items():
                    row[size] -= row[j] * value
                    row[j] = 0.0
                rows.append(row)
        for i in range(size):
            for k in range(i + 1, size):
                factor = rows[k][i] / rows[i][i]
                for j in range(i, size + 1):
                    rows[k][j] -= factor * rows[i][j]
        for i in reversed(range(size)):
            for j in range(i + 1, size):
                rows[i][size] -= rows[i][j] * rows[j][size]
            rows[i][size] /= rows[i][i]
        return [row[size] for row in rows]
