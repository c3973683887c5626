"""What an engine adds up about its own answers, and what two looks at it teach.

Lives here: the sums and their difference.  Not here: their names on a page (gateway.discovery.probing), what is learned
(load).
"""

from typing import NamedTuple


class Sums(NamedTuple):
    """Since the engine's start, or between two looks; None = it does not say."""

    itl_sum_s: float | None = None  # seconds between tokens of an answer
    itl_count: float | None = None  # how many
    ttft_sum_s: float | None = None  # seconds from arrival to first token
    ttft_count: float | None = None  # how many
    prompt_tokens: float | None = None  # of prompts that were computed or found
    cached_tokens: float | None = None  # of these, found

    def since(self, before: "Sums") -> "Sums":
        """Return what came since then; nothing of a sum that went back, because another process counts it."""
        pairs = zip(self, before, strict=True)
        return Sums(*(None if now is None or then is None or now < then else now - then for now, then in pairs))

    @property
    def itl_s(self) -> float | None:
        """Seconds between two tokens, on average; None = unknown."""
        return self.itl_sum_s / self.itl_count if self.itl_count and self.itl_sum_s is not None else None

    @property
    def computed_tokens(self) -> float | None:
        """Prompt tokens that were not found."""
        if self.prompt_tokens is None or self.cached_tokens is None:
            return None
        return self.prompt_tokens - self.cached_tokens


NO_SUMS = Sums()
