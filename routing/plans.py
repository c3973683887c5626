"""Plans: which deployments should serve which sizes of a model's requests, as the optimizer's hints say.

Lives here: the cell of a request, its shares, how requests are divided by them.  Not here: reading hints
(gateway.fleet.hints), which pod of a deployment is chosen, and what happens when one is full (strategies.slo).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, sqrt
from typing import NamedTuple

from routing.ties import GOLDEN
from routing.types import Rng

Weights = Sequence[tuple[str, float]]
"""Deployments, each with a weight above 0."""


class Cell(NamedTuple):
    """Requests of about the same size."""

    number: int  # unlike that of other cells of its plan
    shares: Weights  # of the deployments that serve it; they add up to 1, or there are none
    rates: Mapping[str, float]  # requests per second that one replica carries, of deployments where that is told
    capable: Sequence[str]  # deployments that can serve it: those with planned replicas first, by share, then by rate


class Split:
    """How a model's requests were divided since this worker knows a plan of it."""

    def __init__(self) -> None:
        self.wanted: dict[str, float] = {}
        """Requests that deployments should have got, by the shares of their cells."""
        self.chosen: dict[str, int] = {}
        """Requests for which a pod of the deployment was chosen."""

    def count(self, shares: Weights, chosen: str) -> None:
        """Count a request."""
        for deployment, share in shares:
            self.wanted[deployment] = self.wanted.get(deployment, 0.0) + share
        self.chosen[chosen] = self.chosen.get(chosen, 0) + 1


class Targets(NamedTuple):
    """The SLO that throughputs were measured for, in seconds; infinity = none."""

    ttft_s: float = inf
    itl_s: float = inf
    e2e_s: float = inf

    def longest_s(self, output_tokens: int) -> float:
        """Return how long a request may take that keeps them."""
        return min(self.e2e_s, self.ttft_s + self.itl_s * output_tokens if output_tokens else self.ttft_s)


class Plan:
    """The plan of one model.  `share` and `throughput` are by output and input length, as in a hint."""

    def __init__(
        self,
        version: int,
        *,
        expires_s: float,
        outputs: Sequence[float],
        inputs: Sequence[float],
        replicas: Mapping[str, int],
        share: Sequence[Sequence[Mapping[str, float]]],
        in_share: Sequence[Mapping[str, float]],
        throughput: Mapping[str, Sequence[Sequence[float]]],
        targets: Targets,
    ) -> None:
        self.version = version
        self.expires_s = expires_s
        """The time on the worker's clock from which it is too old to be followed."""
        self.replicas = replicas
        self.targets = targets
        self.has_rates = bool(throughput)
        self.known = frozenset([*replicas, *throughput, *[name for row in share for cell in row for name in cell]])
        """Every deployment that it names."""
        self._output_bounds, self._input_bounds = _bounds(outputs), _bounds(inputs)
        self._cells = [
            self._cell(row * len(inputs) + column, cell, {name: grid[row][column] for name, grid in throughput.items()})
            for row, cells in enumerate(share)
            for column, cell in enumerate(cells)
        ]
        self._of_any_output = [
            self._cell(
                len(self._cells) + column, cell, {name: _mean(grid, column) for name, grid in throughput.items()}
            )
            for column, cell in enumerate(in_share)
        ]

    def cell(self, input_tokens: int, output_tokens: int) -> Cell:
        """Return the cell whose lengths are nearest, on a logarithmic scale; `output_tokens` 0 = unknown."""
        column = bisect_left(self._input_bounds, input_tokens)
        if not output_tokens:
            return self._of_any_output[column]
        return self._cells[bisect_left(self._output_bounds, output_tokens) * len(self._of_any_output) + column]

    def _cell(self, number: int, share: Mapping[str, float], rates: Mapping[str, float]) -> Cell:
        able = [name for name in self.known if (rates[name] if name in rates else share.get(name, 0.0)) > 0]
        able.sort(key=lambda name: (not self.replicas.get(name), -share.get(name, 0.0), -rates.get(name, 0.0), name))
        shares = [(name, share[name]) for name in able if share.get(name, 0.0) > 0]
        total = sum([weight for _, weight in shares])
        return Cell(number, [(name, weight / total) for name, weight in shares], rates, able)


class Plans:
    """The latest plan of each model."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._splits: dict[str, Split] = {}

    def put(self, model: str, plan: Plan) -> None:
        """Replace the plan of a model."""
        self._plans[model] = plan
        self._splits.setdefault(model, Split())

    def keep(self, models: Sequence[str]) -> None:
        """Forget the plans of all other models."""
        for model in self._plans.keys() - set(models):
            del self._plans[model], self._splits[model]

    def of(self, *models: str) -> tuple[Plan, Split] | None:
        """Return the plan of the first of these models that has one, expired or not, and how it was followed."""
        for model in models:
            plan = self._plans.get(model)
            if plan is not None:
                return plan, self._splits[model]
        return None


class Points:
    """Points in [0, 1), by which requests are divided: those of each cell fill the range evenly, however many they are.

    With a draw at random 1,000 requests miss their shares by 2 % now and then; these miss them by a request or two.
    Each cell begins at a random place, so that what cells and replicas miss adds up to nothing.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._last: dict[tuple[str, int], float] = {}

    def next(self, model: str, cell: int) -> float:
        """Return the next point of a cell."""
        key = (model, cell)
        last = self._last.get(key)
        point = self._rng.random() if last is None else (last + GOLDEN) % 1.0
        self._last[key] = point
        return point


def chosen(weights: Weights, point: float) -> tuple[str, float]:
    """Return which of the weights, placed one after the other, is at `point`, and where in its range that is, [0, 1].

    The second is a point too, for a further choice among others.  There must be a weight.
    """
    remaining = point * sum([weight for _, weight in weights])
    for name, weight in weights:
        if remaining < weight:
            return name, remaining / weight
        remaining -= weight
    return weights[-1][0], 1.0  # errors of floating-point numbers


def is_over(in_flight: float, carried: float) -> bool:
    """Whether more is in flight than the chance of arrivals explains where `carried` is usual.

    A pod that serves just what it can has a Poisson number of requests in flight: beyond two standard deviations, and
    one request, it is above the rate that was measured.
    """
    return sqrt(in_flight) > sqrt(carried) + 1


def _bounds(ticks: Sequence[float]) -> list[float]:
    """Return the lengths between which each tick is the nearest: the geometric means of neighbours."""
    return [sqrt(low * high) for low, high in pairwise(ticks)]


def _mean(grid: Sequence[Sequence[float]], column: int) -> float:
    return sum([row[column] for row in grid]) / len(grid)
