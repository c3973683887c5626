"""One output that is being generated, in the engine model.

Lives here: what was asked for and the progress.  Not here: making progress (engine).
"""

from collections.abc import Sequence as Series
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Sequence:
    """Two sequences are equal only if they are the same object.  Times are on the clock that drives the engine."""

    prompt_tokens: int  # at least 1
    output_tokens: int  # 0: an embedding, which ends with its prompt
    hashes: Series[int] = ()
    """Chained hashes of the full blocks of prompt and output, as far as they are known; other blocks are not reused."""
    adapter: str = ""  # empty: the base model

    arrived_s: float = 0.0
    started_s: float | None = None  # when its first pass began
    first_token_s: float | None = None  # when its first token came
    ended_s: float | None = None  # when its last token came; None also after an abort or a crash
    cached_tokens: int = 0  # prompt tokens found in the cache when it started

    # Set by the engine only
    generated: int = 0  # output tokens so far; while it decodes, see `Decoding.generated`
    computed: int = 0  # tokens whose keys and values are in the cache; while it decodes they follow from `generated`
    blocks: int = 0  # blocks that it holds
    hashed: int = 0  # of these, how many at the head are known by their hashes
    start_pass: int = 0  # while it decodes: the number of the pass after which it would have had 0 tokens
    last_token_s: float = 0.0  # when the last token before a preemption came
