"""A linear regression that learns online: few terms, each with a prior and bounds, old observations decaying.

Lives here: the normal equations and their solution.  Not here: which quantities are explained by which (estimates).
An observation of n requests together is n observations: their features and totals are added up.
"""

from collections.abc import Sequence
from typing import NamedTuple

SAMPLE_WEIGHT = 0.02
"""The weight of a sample's request, in requests (chosen: it decides only where there is nothing better)."""
SAMPLE_DECAY = 1.0 - 1.0 / 1000
"""The decay of samples per request: longer than that of observations, because their mean is all that is known."""
MAX_SCALE = 1e12
"""Above this scale all sums are scaled down, long before doubles lose small summands (2^53)."""
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
        self._growth = 1.0 / (1.0 - 1.0 / decay_observations)
        self._scale = 1.0  # the weight of the next observation: it grows, instead of all earlier ones shrinking
        size = len(terms)
        self._products = [[0.0] * size for _ in range(size)]  # only j <= i
        self._moments = [0.0] * size
        self._sample = [0.0] * size
        self._sample_total = 0.0

    def learn(self, features: Sequence[float], total: float, weight: float, requests: int = 1) -> None:
        """Learn from a total that `requests` requests had together.  O(terms^2), now and then O(terms^3)."""
        self._scale *= self._growth if requests == 1 else self._growth**requests
        scaled = self._scale * weight
        for i, row in enumerate(self._products):
            if not features[i]:  # most prompts have no extra bytes, and most streams no usage
                continue
            weighted = scaled * features[i]
            self._moments[i] += weighted * total
            for j in range(i + 1):
                row[j] += weighted * features[j]
        self.count += requests
        if self.count < SETTLED_OBSERVATIONS or self.count % SOLVE_EVERY < requests:
            self._solve()
        if self._scale > MAX_SCALE:
            self._products = [[product / self._scale for product in row] for row in self._products]
            self._moments = [moment / self._scale for moment in self._moments]
            self._scale = 1.0

    def learn_sample(self, features: Sequence[float], total: float, requests: int) -> None:
        """Learn from `requests` requests and the total that as many others had, which were drawn like these.

        Sample and total differ by chance each time, so that only all of them together say something: their sums.
        """
        decay = SAMPLE_DECAY**requests
        for i, feature in enumerate(features):
            self._sample[i] = self._sample[i] * decay + feature
        self._sample_total = self._sample_total * decay + total
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
        weight = SAMPLE_WEIGHT / self._sample_total if self._sample_total > 0 else 0.0
        rows = []
        for i, term in enumerate(self._terms):
            if i in fixed:
                rows.append([1.0 if i == j else 0.0 for j in range(size)] + [fixed[i]])
                continue
            products = [self._products[max(i, j)][min(i, j)] for j in range(size)]
            row = [value / self._scale for value in (*products, self._moments[i])]
            for j, feature in enumerate((*self._sample, self._sample_total)):
                row[j] += weight * self._sample[i] * feature
            row[i] += term.weight
            row[size] += term.weight * term.prior
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
