"""Demand: how many requests per second of which lengths to plan for, from the traces that gateways write.

The rate comes from arrivals, never from completions: under overload the requests that matter most do not complete.
It is the highest of the average over 5 minutes, the last window and the 90th percentile of the last six windows, and
what drains the backlog in time is added.  Lengths come from completions, weighted by age and with a long memory that
counts as so many requests, so that three requests already give a plan; where the input lengths of arrivals are told,
they correct what has not completed yet.

Lives here: the estimate, on values.  Not here: reading traces from Redis, buckets' throughputs (profiles).
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from math import ceil, exp2, fsum
from typing import TypeVar

from traffic.window import Lengths, Window, index_of

AVERAGE_S = 300.0
"""Memory of the rate, and half-life of the lengths: about the time that a replica takes to start."""
LONG_HALF_LIFE_S = 86_400.0
LONG_WEIGHT = 50.0
"""Requests that the long memory counts for: after so many of other lengths it is half forgotten."""
RECENT = 6
QUANTILE = 0.9
DRAIN_S = 60.0
"""Time in which a backlog is to be gone."""
ASSUMED: Lengths = (index_of(1024), index_of(256))
"""Lengths before any request has completed, so that a model without replicas gets some (chosen: those of a chat)."""
FORGOTTEN = 1e-6
"""Weights below this, in requests, are dropped."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests per second, and the share of each pair of lengths; shares add up to one, or there are none."""

    rate: float
    shares: Mapping[Lengths, float]
    backlog_rate: float = 0.0
    """The part of `rate` that drains the backlog."""
    is_assumed: bool = False
    """Whether output lengths are assumed, because no request has completed yet."""


@dataclass(slots=True)
class Estimator:
    """Learns from windows in the order of time."""

    _average: float | None = None
    _rates: list[float] = field(default_factory=list)
    _recent: dict[Lengths, float] = field(default_factory=dict)
    _long: dict[Lengths, float] = field(default_factory=dict)
    _inputs: dict[int, float] = field(default_factory=dict)
    _waiting: int = 0

    def learn(self, window: Window) -> None:
        """Take a window in."""
        rate = window.arrivals / window.duration_s
        kept = exp2(-window.duration_s / AVERAGE_S)
        self._average = rate if self._average is None else kept * self._average + (1 - kept) * rate
        self._rates = [*self._rates, rate][-RECENT:]
        self._waiting = window.waiting
        _remember(self._recent, kept, window.completed)
        _remember(self._long, exp2(-window.duration_s / LONG_HALF_LIFE_S), window.completed)
        _remember(self._inputs, kept, window.arrived_inputs or {})

    def demand(self, in_flight: float = 0.0) -> Demand:
        """Return the demand; `in_flight` is how many requests a fleet without a backlog would have in flight.

        No rate and no shares before the first window.
        """
        if self._average is None:
            return Demand(0.0, {})
        high = sorted(self._rates)[ceil(QUANTILE * len(self._rates)) - 1]
        backlog = max(0.0, self._waiting - in_flight) / DRAIN_S
        rate = max(self._average, self._rates[-1], high) + backlog
        return Demand(rate, self._shares(), backlog, is_assumed=not self._long)

    def _shares(self) -> Mapping[Lengths, float]:
        long = fsum(self._long.values())
        weights = (
            {ASSUMED: 1.0}
            if not self._long
            else {
                lengths: self._recent.get(lengths, 0.0) + LONG_WEIGHT * count / max(long, LONG_WEIGHT)
                for lengths, count in self._long.items()
            }
        )
        return _normalised(self._as_arrived(weights))

    def _as_arrived(self, weights: Mapping[Lengths, float]) -> Mapping[Lengths, float]:
        """Return the weights with the inputs of arrivals, each with the outputs of the nearest completed input."""
        if not self._inputs or not weights:
            return weights
        by_input: dict[int, dict[int, float]] = {}
        for (into, out), weight in weights.items():
            by_input.setdefault(into, {})[out] = weight
        arrived: dict[Lengths, float] = {}
        for into, count in self._inputs.items():
            nearest = min(by_input, key=lambda known: (abs(known - into), -known))
            for out, share in _normalised(by_input[nearest]).items():
                arrived[into, out] = count * share
        return arrived


def _remember(weights: dict[Key, float], kept: float, counts: Mapping[Key, int]) -> None:
    """Let old weights fade, and add new counts."""
    for key in list(weights):
        weights[key] *= kept
        if weights[key] < FORGOTTEN:
            del weights[key]
    for key, count in counts.items():
        if count:
            weights[key] = weights.get(key, 0.0) + count


def _normalised(weights: Mapping[Key, float]) -> dict[Key, float]:
    total = fsum(weights.values())
    return {key: weight / total for key, weight in weights.items()} if total > 0 else {}
