"""One answer in the making, as the engine model sees it.

Lives here: what was asked and how far it is.  Not here: who moves it on (engine).
"""

from collections.abc import Sequence as Series
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Sequence:
    """Identity is equality.  Times are on the clock that the engine is driven by."""

    prompt_tokens: int  # at least 1
    output_tokens: int  # 0: an embedding, which ends with its prompt
    hashes: Series[int] = ()
    """Chained hashes of the full blocks of prompt and output as far as they are known; others are never reused."""
    adapter: str = ""  # empty: the base model

    arrived_s: float = 0.0
    started_s: float | None = None  # when its first pass began
    first_s: float | None = None  # when its first token came
    ended_s: float | None = None  # when its last token came; None too when it was aborted or lost
    cached_tokens: int = 0  # of the prompt, found in the cache when it started

    # The engine's own
    made: int = 0  # output tokens; while it decodes `Engine.made` knows
    computed: int = 0  # tokens whose keys and values are in the cache; while it decodes they follow from `made`
    blocks: int = 0  # held
    named: int = 0  # of these, the first so many are known by their hashes
    base: int = 0  # while it decodes: the pass after which it would have made 0 tokens
    paused_s: float = 0.0  # when its last token came before it was preempted
