"""The cost of tokens: a model's prices, and the money for a usage.

Lives here: prices and their arithmetic.  Not here: where prices are set (gateway.config), budgets (kinds).

Money is a whole number of NANO parts of the currency's unit, so that sums over replicas are exact.  A cost is rounded
up: no request with a price is free.
"""

import math
from typing import NamedTuple

from ratelimit.kinds import NANO


class Prices(NamedTuple):
    """The prices of one million tokens, in the currency's unit."""

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None
    """The price of tokens of the prompt that were in the engine's cache; None = as other input."""

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Return the money in NANO parts; `cached_tokens` are part of `input_tokens`."""
        cached = self.input if self.cached_input is None else self.cached_input
        hits = min(cached_tokens, input_tokens)
        total = (input_tokens - hits) * self.input + hits * cached + output_tokens * self.output
        return math.ceil(total * (NANO // 1_000_000) - _ROUNDING)

    @property
    def per_output_token(self) -> float:
        """The price of one token of an answer, in NANO parts."""
        return self.output * (NANO // 1_000_000)

    def most_for_prompt(self, tokens: int) -> int:
        """Return the most that a prompt of so many tokens may cost, whatever is cached."""
        return max(self.cost(tokens, 0), self.cost(tokens, 0, tokens))


_ROUNDING = 1e-6
"""Parts of a NANO by which a sum of decimal fractions may be above the whole number that is meant."""

FREE = Prices()
"""The prices of a model without any; compared by identity, so that most requests compute no money."""


def prices_of(input_: float, output: float, cached_input: float | None) -> Prices:
    """Return these prices, or FREE."""
    return Prices(input_, output, cached_input) if input_ or output or cached_input else FREE
