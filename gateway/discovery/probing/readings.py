"""What an engine says of itself, whichever engine it is.

Lives here: the value.  Not here: its text (parse), how often it is asked for (poller).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from routing.pods.engine_totals import NO_TOTALS, EngineTotals
from routing.types import Signal


class Readings(NamedTuple):
    """One scrape; what was not there, or is no number >= 0, is absent or None."""

    signals: Mapping[Signal, float] = MappingProxyType({})
    cache_tokens: float | None = None  # room in its KV cache
    started_s: float | None = None  # Unix time of the process's start
    totals: EngineTotals = NO_TOTALS
    adapters: frozenset[str] = frozenset()  # LoRA adapters that run or wait

    def restarted_since(self, before: "Readings") -> bool:
        """Whether another process answers than the one that gave `before`."""
        if self.started_s is not None and before.started_s is not None:
            return self.started_s != before.started_s
        prompts, earlier = self.totals.prompt_tokens, before.totals.prompt_tokens
        return prompts is not None and earlier is not None and prompts < earlier


NOTHING = Readings()
