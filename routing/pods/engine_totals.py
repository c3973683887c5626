"""An engine's cumulative metrics: totals since it started, and their increase between two scrapes.

Lives here: the values and their difference.  Not here: the names on a metrics page (gateway.discovery.probing),
learning from an increase (routing.pods.load).  `_sum_s` and `_count` are those of the engine's Prometheus histograms.
"""

from typing import NamedTuple


class EngineTotals(NamedTuple):
    """Totals since the engine started, or increases between two scrapes; None = the engine does not report it."""

    itl_sum_s: float | None = None
    itl_count: float | None = None
    ttft_sum_s: float | None = None
    ttft_count: float | None = None
    prompt_tokens: float | None = None  # of prompts that have their first token
    cached_tokens: float | None = None  # of `prompt_tokens`, those found in the prefix cache

    def since(self, before: "EngineTotals") -> "EngineTotals":
        """Return the increase; None for a total that has fallen, because another process counts it."""
        pairs = zip(self, before, strict=True)
        return EngineTotals(*(None if now is None or then is None or now < then else now - then for now, then in pairs))

    @property
    def mean_itl_s(self) -> float | None:
        """Mean time between two tokens of an answer; None = unknown."""
        return self.itl_sum_s / self.itl_count if self.itl_count and self.itl_sum_s is not None else None

    @property
    def computed_tokens(self) -> float | None:
        """Prompt tokens that were not found in the prefix cache; None = unknown."""
        if self.prompt_tokens is None or self.cached_tokens is None:
            return None
        return self.prompt_tokens - self.cached_tokens


NO_TOTALS = EngineTotals()


class FinishedTotals(NamedTuple):
    """An engine's counts of requests that are finished, since it started or between two scrapes."""

    requests: float
    prompt_tokens: float
    output_tokens: float
    is_whole: bool  # no token of a request that still runs is among them

    def since(self, before: "FinishedTotals") -> "FinishedTotals":
        """Return the increase."""
        return FinishedTotals(
            self.requests - before.requests,
            self.prompt_tokens - before.prompt_tokens,
            self.output_tokens - before.output_tokens,
            self.is_whole and before.is_whole,
        )
