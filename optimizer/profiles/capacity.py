"""The rate that one replica carries inside an SLO, by the queue model of an engine that batches.

One kind of request of i input and o output tokens; n of them run at once, at most N, and at most Q wait.  An iteration
takes alpha + beta n seconds (the time between tokens), a prefill gamma + delta i n.  Then n requests leave at the rate
mu(n) = n / (gamma + delta i n + (o - 1)(alpha + beta n)), and the number in the engine is a birth-death process, as in
llm-d's workload-variant autoscaler (pkg/analyzer), whose parameters these are.

Lives here: latencies at a rate, the highest rate inside an SLO.  Not here: measured throughputs (profiles).
Means only: a percentile needs a margin.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, repeat

STABLE = (1e-3, 0.999)
"""Rates are looked at from 0.001 mu(1) to 0.999 mu(N); beyond, a queue grows without end or the model says nothing."""
PRECISION = 1e-4
"""Relative precision of a capacity."""
QUEUE = 4
"""Requests that may wait, as a multiple of those that may run, where it is not told."""
CACHED = 4096
"""Capacities that are remembered: of the lengths of a grid for some deployments, which return with every plan."""
NEGLIGIBLE, HUGE = 1e-20, 1e200
"""Weights of states below this part of all end the sum, because the rest is smaller still; above HUGE all are scaled
down, because doubles end at 1e308."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters of an engine, in seconds and tokens."""

    alpha_s: float
    beta_s: float
    gamma_s: float
    delta_s: float
    max_batch: int
    max_queue: int | None = None

    def slower(self, factor: float) -> "Fit":
        """Return an engine that takes so many times as long for everything."""
        scaled = {name: getattr(self, name) * factor for name in ("alpha_s", "beta_s", "gamma_s", "delta_s")}
        return replace(self, **scaled)

    def queue(self) -> int:
        """Return how many requests may wait."""
        return QUEUE * self.max_batch if self.max_queue is None else self.max_queue


@dataclass(frozen=True, slots=True)
class Slo:
    """Highest mean latencies in seconds; None = no target."""

    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None


@dataclass(frozen=True, slots=True)
class Latencies:
    """Mean latencies in seconds, and how many requests run on average."""

    ttft_s: float
    itl_s: float
    wait_s: float
    running: float

    def e2e_s(self, output_tokens: float) -> float:
        """Return the time to the last token."""
        return self.ttft_s + max(0.0, output_tokens - 1) * self.itl_s

    def keep(self, slo: Slo, output_tokens: float) -> bool:
        """Whether all targets are kept."""
        pairs = (
            (self.ttft_s, slo.ttft_s),
            (self.itl_s if output_tokens > 1 else 0.0, slo.itl_s),
            (self.e2e_s(output_tokens), slo.e2e_s),
        )
        return all(target is None or value <= target for value, target in pairs)


def service_rate(fit: Fit, input_tokens: float, output_tokens: float, n: int) -> float:
    """Return mu(n): requests per second that leave while n run."""
    decode_s = max(0.0, output_tokens - 1) * (fit.alpha_s + fit.beta_s * n)
    return n / (fit.gamma_s + fit.delta_s * input_tokens * n + decode_s)


def latencies(fit: Fit, input_tokens: float, output_tokens: float, rate: float) -> Latencies:
    """Return the mean latencies at a rate in requests per second, > 0."""
    rates = [service_rate(fit, input_tokens, output_tokens, n) for n in range(1, fit.max_batch + 1)]
    return _latencies(fit, input_tokens, output_tokens, rate, rates)


def _latencies(fit: Fit, input_tokens: float, output_tokens: float, rate: float, rates: list[float]) -> Latencies:
    most, weight, total, present, running = len(rates), 1.0, 1.0, 0.0, 0.0
    for number, mu in enumerate(chain(rates, repeat(rates[-1], fit.queue())), start=1):
        weight *= rate / mu
        total += weight
        present += number * weight
        running += min(number, most) * weight
        if weight < NEGLIGIBLE * total and rate < mu:
            break
        if weight > HUGE:
            weight, total, present, running = (value / HUGE for value in (weight, total, present, running))
    passed = rate * (1.0 - weight / total)
    present, running = present / total, running / total
    wait_s, served_s = (present - running) / passed, running / passed
    rest = max(0.0, output_tokens - 1)
    per_request_s = fit.delta_s * input_tokens + fit.beta_s * rest
    n = (served_s - fit.gamma_s - fit.alpha_s * rest) / per_request_s if per_request_s > 0 else running
    n = min(max(n, 0.0), fit.max_batch)
    return Latencies(
        wait_s + fit.gamma_s + fit.delta_s * input_tokens * n, fit.alpha_s + fit.beta_s * n, wait_s, running
    )


@lru_cache(maxsize=CACHED)
def capacity(fit: Fit, input_tokens: float, output_tokens: float, slo: Slo) -> float:
    """Return the highest rate in requests per second at which the SLO is kept; 0 when it is not even alone."""
    rates = [service_rate(fit, input_tokens, output_tokens, n) for n in range(1, fit.max_batch + 1)]
    low, high = STABLE[0] * rates[0], STABLE[1] * rates[-1]

    def kept(rate: float) -> bool:
        return _latencies(fit, input_tokens, output_tokens, rate, rates).keep(slo, output_tokens)

    if not kept(low):
        return 0.0
    if kept(high):
        return high
    while high > low * (1 + PRECISION):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low
