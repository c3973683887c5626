"""How fast a pod is, learned from whole requests: seconds = fixed + token x uncached prompt tokens + output x tokens.

Lives here: the estimate.  Not here: what waits on a pod (load).

Nobody tells the gateway when a stream's first token came, but durations of requests of different sizes do.  Weighted
least squares over finished requests, each error relative to its duration, older ones fading; solved by one Gauss-Seidel
sweep per request, no coefficient below zero.  Pods that look alike are believed to be until they show otherwise: what
all of them together have shown stands in for TRUST requests of each, a first guess for a fraction of one of all.
"""

EACH = 200
THINNED = 4
"""Every request teaches at first, then one in so many: a lesson costs 3 us (chosen)."""
MEMORY = 500
"""Lessons after which evidence has faded to 1/e (chosen: minutes at a busy pod)."""
KNOWN = 8
"""Finished requests before the estimate is used (chosen)."""
TRUST = 200.0
"""Requests of one pod that weigh as much as what its kind has shown (chosen: they differ by chance before)."""
DIFFERENT = 1.5
"""As fast as its kind within this factor, a pod is taken for one of them: what chance makes of two equal pods would
otherwise send all to one (chosen: reuse on the synthetic trace fell from .545 to .537 without)."""
FIRST_TRUST = 0.1
"""Of the first guess: less than one request of all (chosen: 0.01 to 1 behave alike in simulation)."""
SHORTEST_S = 1e-4
"""Durations below this say more about the network than about the engine (chosen)."""

FIRST_GUESS = (0.02, 1e-4, 0.01)
"""Seconds for a request, an uncached prompt token, an output token: an 8B model on a GPU of the last years, within a
factor of ten."""
LEAST_S = 1e-9
"""No coefficient is smaller: what takes no time cannot be compared."""


class Speed:
    """Of one pod, `kind` being that of all that look like it; or of a kind, without one."""

    __slots__ = ("_cross", "_squares", "_sums", "fixed_s", "kind", "known", "output_s", "seen", "token_s")

    def __init__(self, kind: "Speed | None" = None) -> None:
        self.kind = kind
        self.fixed_s, self.token_s, self.output_s = kind.guess if kind else FIRST_GUESS
        self.seen = 0  # requests that have ended
        self.known = False  # enough of them
        self._squares = (0.0, 0.0, 0.0)
        self._cross = (0.0, 0.0, 0.0)  # fixed x token, fixed x output, token x output
        self._sums = (0.0, 0.0, 0.0)

    def differs(self, kind: "Speed") -> bool:
        """Whether this pod has shown to be of a speed of its own."""
        return self.seen >= TRUST and not 1 / DIFFERENT < self.token_s / kind.token_s < DIFFERENT

    @property
    def guess(self) -> tuple[float, float, float]:
        """The three coefficients."""
        return self.fixed_s, self.token_s, self.output_s

    def prefill_s(self, uncached: float) -> float:
        """Return how long so many prompt tokens keep the pod; 0 while nothing is known."""
        return self.fixed_s + self.token_s * uncached if self.known else 0.0

    def learn(self, uncached: float, outputs: float, duration_s: float, wait_s: float) -> None:
        """A request took so long, of which it is believed to have waited for others' prompts."""
        self.seen += 1
        self.known = self.seen >= KNOWN
        if self.seen > EACH and self.seen % THINNED:
            return
        self._weigh(uncached, outputs, duration_s - wait_s, wait_s, requests=1)

    def measure(self, requests: float, uncached: float, busy_s: float) -> None:
        """Between two looks the engine has computed so many prompts, of so many uncached tokens together.

        It was at them no longer than `busy_s`: the time that passed, or their times to the first token together.
        The first is true of a pod that has prompts waiting, the second of one that has one at a time.
        """
        self._weigh(uncached / requests, 0, busy_s / requests, 0.0, requests)

    def _weigh(self, uncached: float, outputs: float, took_s: float, wait_s: float, requests: float) -> None:
        expected_s = wait_s + self.fixed_s + self.token_s * uncached + self.output_s * outputs
        weight = requests / max(expected_s, SHORTEST_S) ** 2
        amount = weight * took_s
        tokens, outs = weight * uncached, weight * outputs
        fade = 1 - 1 / MEMORY
        a, b, c = self._squares
        self._squares = (a * fade + weight, b * fade + tokens * uncached, c * fade + outs * outputs)
        a, b, c = self._cross
        self._cross = (a * fade + tokens, b * fade + outs, c * fade + tokens * outputs)
        a, b, c = self._sums
        self._sums = (a * fade + amount, b * fade + amount * uncached, c * fade + amount * outputs)
        self._sweep()

    def _sweep(self) -> None:
        stands = self._stand_in()
        one, tokens, outs = (square + weight for square, (weight, _) in zip(self._squares, stands, strict=True))
        first, second, third = (
            amount + weight * value for amount, (weight, value) in zip(self._sums, stands, strict=True)
        )
        fixed_token, fixed_output, token_output = self._cross
        made = (third - fixed_output * self.fixed_s - token_output * self.token_s) / outs
        self.output_s = max(LEAST_S, made)
        token = (second - fixed_token * self.fixed_s - token_output * self.output_s) / tokens
        self.token_s = max(LEAST_S, token)
        fixed = (first - fixed_token * self.token_s - fixed_output * self.output_s) / one
        self.fixed_s = max(LEAST_S, fixed)

    def _stand_in(self) -> list[tuple[float, float]]:
        """Return, per coefficient, the weight and value of what is believed without own evidence."""
        if self.kind is None:
            return [(FIRST_TRUST / value**2, value) for value in FIRST_GUESS]
        per_request = TRUST / min(max(self.kind.seen, 1), MEMORY)
        return [
            (per_request * square + FIRST_TRUST / value**2, value)  # the first is 0 where all had none of it
            for square, value in zip(self.kind._squares, self.kind.guess, strict=True)
        ]
