"""The readings of an engine: what its metrics say, whichever engine it is.

Lives here: the value.  Not here: parsing it (engine_metrics), how often it is asked for (scraping).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from routing.pods.adapters import NO_USE, AdapterUse
from routing.pods.engine_totals import NO_TOTALS, EngineTotals, FinishedTotals
from routing.types import Signal


class Readings(NamedTuple):
    """The result of one scrape; what was not reported, or is not a number >= 0, is absent or None."""

    signals: Mapping[Signal, float] = MappingProxyType({})
    cache_tokens: float | None = None  # size of its KV cache
    started_s: float | None = None  # Unix time when its process started
    totals: EngineTotals = NO_TOTALS
    adapters: AdapterUse = NO_USE
    finished: FinishedTotals | None = None

    def restarted_since(self, before: "Readings") -> bool:
        """Return whether these are from another process than `before`, as far as can be told."""
        if self.started_s is not None and before.started_s is not None:
            return self.started_s != before.started_s
        prompts, earlier = self.totals.prompt_tokens, before.totals.prompt_tokens
        return prompts is not None and earlier is not None and prompts < earlier


NOTHING = Readings()
