"""The rate that one replica carries inside an SLO, by a model of an engine that batches.

Two models.  The queue model: one kind of request of i input and o output tokens; n of them run at once, at most N, and
at most Q wait.  An iteration takes alpha + beta n seconds (the time between tokens), a prefill gamma + delta i n.  Then
n requests leave at the rate mu(n) = n / (gamma + delta i n + (o - 1)(alpha + beta n)), and the number in the engine is
a birth-death process, as in llm-d's workload-variant autoscaler (pkg/analyzer), whose parameters these are.

The chunked model is for engines that mix chunks of prompts into iterations that decode, as vLLM does: prompts are
served one after the other (M/D/1) and take the share u = rate delta i of the time, an iteration takes
(alpha + (beta + epsilon context) n) / (1 - u), and n = rate x time in the engine (Little).  In the queue model all n
requests prefill together, so that it takes TTFT for many times as long where prompts are long.

Lives here: latencies at a rate, the highest rate inside an SLO.  Not here: measured throughputs (profiles).
Means only: a percentile needs a margin.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, repeat
from math import inf

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


TIMES = ("alpha_s", "beta_s", "gamma_s", "delta_s", "epsilon_s")
MOST_BUSY = 0.99
"""Highest share of the time for prompts in the chunked model."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters of an engine, in seconds and tokens."""

    alpha_s: float
    beta_s: float
    gamma_s: float
    delta_s: float
    max_batch: int
    max_queue: int | None = None
    epsilon_s: float = 0.0
    """Per token of context, of each request; only in the chunked model."""
    kv_tokens: float | None = None
    """Tokens that the KV cache holds, only in the chunked model; None = enough for the largest batch."""
    is_chunked: bool = False
    """Whether this is the chunked model."""

    def slower(self, factor: float) -> "Fit":
        """Return an engine that takes so many times as long for everything."""
        scaled = {name: getattr(self, name) * factor for name in TIMES}
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
    """Return the mean latencies at a rate in requests per second, > 0; infinite where the rate is too high."""
    if fit.is_chunked:
        return _chunked(fit, input_tokens, output_tokens, rate)
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


def _chunked(fit: Fit, input_tokens: float, output_tokens: float, rate: float) -> Latencies:
    """Return the latencies of the chunked model; all n requests are those that decode, which most are."""
    prompt_s, rest = fit.delta_s * input_tokens, max(0.0, output_tokens - 1)
    context = input_tokens + output_tokens / 2
    per_request_s = fit.beta_s + fit.epsilon_s * context
    busy = min(rate * prompt_s, MOST_BUSY)
    free = 1 - busy
    wait_s = prompt_s * busy / (2 * free)
    # The time in the engine is fixed_s + n growing_s, and n = rate x that time.
    fixed_s = fit.gamma_s + prompt_s + wait_s + (rest + 0.5) * fit.alpha_s / free
    growing_s = per_request_s * (1 + (rest + 0.5) / free)
    n = rate * fixed_s / (1 - rate * growing_s) if rate * growing_s < 1 else inf
    most = min(fit.max_batch, (fit.kv_tokens or inf) / (input_tokens + output_tokens))
    if busy == MOST_BUSY or n > most:
        return Latencies(inf, inf, inf, most)
    itl_s = (fit.alpha_s + per_request_s * n) / free
    ttft_s = fit.gamma_s + prompt_s + wait_s + per_request_s * n + itl_s / 2
    return Latencies(ttft_s, itl_s, wait_s, n)


@lru_cache(maxsize=CACHED)
def capacity(fit: Fit, input_tokens: float, output_tokens: float, slo: Slo) -> float:
    """Return the highest rate in requests per second at which the SLO is kept; 0 when it is not even alone."""
    rates: list[float] = []
    if fit.is_chunked:
        alone_s = fit.gamma_s + fit.delta_s * input_tokens + max(1.0, output_tokens) * fit.alpha_s
        low, high = STABLE[0] / alone_s, fit.max_batch / alone_s
    else:
        rates = [service_rate(fit, input_tokens, output_tokens, n) for n in range(1, fit.max_batch + 1)]
        low, high = STABLE[0] * rates[0], STABLE[1] * rates[-1]

    def kept(rate: float) -> bool:
        if fit.is_chunked:
            found = _chunked(fit, input_tokens, output_tokens, rate)
            return found.ttft_s < inf and found.keep(slo, output_tokens)
        return _latencies(fit, input_tokens, output_tokens, rate, rates).keep(slo, output_tokens)

    if not kept(low):
        return 0.0
    if kept(high):
        return high
    while high > low * (1 + PRECISION):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low
