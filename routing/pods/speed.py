"""The speed of a pod, learned from whole requests: seconds = fixed + token x uncached tokens + output x output tokens.

Lives here: the estimate.  Not here: the wait for earlier prompts (load).

The gateway does not see when a stream's first token comes, but durations of requests of different sizes tell the three
coefficients apart.  They are fitted by weighted least squares: errors are relative to the duration and bounded by
MAX_SURPRISE, the weight of older requests decays, each request is one Gauss-Seidel sweep, and no coefficient falls
below MIN_COEFFICIENT_S.  Pods of the same kind (GPU type, engine and model) are taken to be equal until they differ:
the estimate of the kind is a pod's prior with the weight of KIND_WEIGHT requests, and PRIOR is the kind's prior with
PRIOR_WEIGHT.
"""

from typing import NamedTuple

LEARN_ALL_UNTIL = 200
LEARN_ONE_IN = 4
"""After so many requests only one in LEARN_ONE_IN is learned from, because learning costs 3 us (chosen)."""
DECAY_REQUESTS = 500
"""Requests learned from after which a request's weight is 1/e (chosen: some minutes at a busy pod)."""
MIN_REQUESTS = 8
"""Finished requests before the estimate is used (chosen)."""
KIND_WEIGHT = 200.0
"""Weight of the kind's estimate, in requests of the pod (chosen: with fewer, chance makes equal pods differ)."""
MAX_RATIO = 1.5
"""A pod uses the estimate of its kind until its seconds per prompt token differ by this factor: differences by chance
would otherwise send all requests to one of two equal pods (chosen: without it, reuse on the synthetic trace fell from
.545 to .537)."""
PRIOR_WEIGHT = 0.1
"""Weight of PRIOR, in requests of the kind (chosen: 0.01 to 1 behave alike in simulation)."""
MAX_SURPRISE = 3.0
"""A request that took longer than this times its expected duration weighs as if that much less had been expected of it
(chosen: noise is within it).  A short prompt may wait for a long one that another replica sent, or that was sent before
speeds were known: one such request, 27 times as long as expected, made token_s 0 for 10 s on a fleet that had just
started."""
MIN_DURATION_S = 1e-4
"""Shorter durations are weighed like this one, because the network dominates them (chosen)."""

PRIOR = (0.02, 1e-4, 0.01)
"""Seconds per request, uncached prompt token and output token before any request: right within a factor of ten for an
8B model on recent GPUs (chosen)."""
MIN_COEFFICIENT_S = 1e-9
"""Lower bound of each coefficient: ratios of speeds must stay defined."""


Sums = tuple[float, float, float]


class Learned(NamedTuple):
    """The state of a `Speed`."""

    requests: int
    squares: Sums
    cross: Sums
    sums: Sums
    coefficients: Sums


class Speed:
    """The speed of one pod, whose kind is `kind`; without one, the speed of a kind."""

    __slots__ = ("_cross", "_squares", "_sums", "fixed_s", "kind", "known", "output_s", "requests", "token_s")

    def __init__(self, kind: "Speed | None" = None) -> None:
        self.kind = kind
        self.fixed_s, self.token_s, self.output_s = kind.coefficients if kind else PRIOR
        self.requests = 0  # finished ones
        self.known = False  # whether there were enough to use the estimate
        self._squares = (0.0, 0.0, 0.0)
        self._cross = (0.0, 0.0, 0.0)  # fixed x token, fixed x output, token x output
        self._sums = (0.0, 0.0, 0.0)

    def differs(self, kind: "Speed") -> bool:
        """Whether the pod's speed differs from that of its kind."""
        return self.requests >= KIND_WEIGHT and not 1 / MAX_RATIO < self.token_s / kind.token_s < MAX_RATIO

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """Seconds per request, uncached prompt token and output token."""
        return self.fixed_s, self.token_s, self.output_s

    def learned(self) -> "Learned":
        """Return all that was learned."""
        return Learned(self.requests, self._squares, self._cross, self._sums, self.coefficients)

    def take_over(self, learned: "Learned") -> None:
        """Take over what another replica has learned, if it learned from more requests."""
        if learned.requests > self.requests:
            self.requests, self._squares, self._cross, self._sums, coefficients = learned
            self.fixed_s, self.token_s, self.output_s = (max(MIN_COEFFICIENT_S, value) for value in coefficients)
            self.known = self.requests >= MIN_REQUESTS

    def prefill_s(self, uncached: float) -> float:
        """Return how long the prefill of so many uncached tokens takes; 0 while the speed is not known."""
        return self.fixed_s + self.token_s * uncached if self.known else 0.0

    def learn(
        self, uncached: float, outputs: float, duration_s: float, wait_s: float, *, is_selected: bool = False
    ) -> None:
        """Learn from a finished request; `wait_s` is the part of its duration that it waited for earlier prompts.

        `is_selected`: it is already one of many, so that it is not left out.
        """
        self.requests += 1
        self.known = self.requests >= MIN_REQUESTS
        if self.requests > LEARN_ALL_UNTIL and self.requests % LEARN_ONE_IN and not is_selected:
            return
        self._add(uncached, outputs, duration_s - wait_s, wait_s, requests=1)

    def measure(self, requests: float, uncached: float, busy_s: float) -> None:
        """Learn from two scrapes, between which the engine computed so many prompts with so many uncached tokens.

        `busy_s` is an upper bound of the time that this took: the smaller of the time between the scrapes, which is
        exact when prompts always wait, and the sum of the TTFTs, which is exact when there is one prompt at a time.
        """
        self._add(uncached / requests, 0, busy_s / requests, 0.0, requests)

    def _add(self, uncached: float, outputs: float, took_s: float, wait_s: float, requests: float) -> None:
        expected_s = wait_s + self.fixed_s + self.token_s * uncached + self.output_s * outputs
        weight = requests / max(expected_s, (wait_s + took_s) / MAX_SURPRISE, MIN_DURATION_S) ** 2
        amount = weight * took_s
        tokens, outs = weight * uncached, weight * outputs
        decay = 1 - 1 / DECAY_REQUESTS
        a, b, c = self._squares
        self._squares = (a * decay + weight, b * decay + tokens * uncached, c * decay + outs * outputs)
        a, b, c = self._cross
        self._cross = (a * decay + tokens, b * decay + outs, c * decay + tokens * outputs)
        a, b, c = self._sums
        self._sums = (a * decay + amount, b * decay + amount * uncached, c * decay + amount * outputs)
        self._sweep()

    def _sweep(self) -> None:
        """Solve the normal equations approximately: one Gauss-Seidel sweep from the previous coefficients."""
        (a, fixed_s), (b, token_s), (c, output_s) = self._priors()
        one, tokens, outs = self._squares
        one, tokens, outs = one + a, tokens + b, outs + c
        first, second, third = self._sums
        first, second, third = first + a * fixed_s, second + b * token_s, third + c * output_s
        fixed_token, fixed_output, token_output = self._cross
        output_s = (third - fixed_output * self.fixed_s - token_output * self.token_s) / outs
        self.output_s = max(MIN_COEFFICIENT_S, output_s)
        token_s = (second - fixed_token * self.fixed_s - token_output * self.output_s) / tokens
        self.token_s = max(MIN_COEFFICIENT_S, token_s)
        fixed_s = (first - fixed_token * self.token_s - fixed_output * self.output_s) / one
        self.fixed_s = max(MIN_COEFFICIENT_S, fixed_s)

    def _priors(self) -> list[tuple[float, float]]:
        """Return the weight and value of each coefficient's prior."""
        if self.kind is None:
            return [(PRIOR_WEIGHT / value**2, value) for value in PRIOR]
        per_request = KIND_WEIGHT / min(max(self.kind.requests, 1), DECAY_REQUESTS)
        return [
            (per_request * square + PRIOR_WEIGHT / value**2, value)  # `square` is 0 if no request had such tokens
            for square, value in zip(self.kind._squares, self.kind.coefficients, strict=True)
        ]
