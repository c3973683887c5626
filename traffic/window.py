"""One window of a model's traffic, as all its gateways counted it together.

Lives here: the value, and the buckets of lengths.  Not here: its format and where it is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp2, log2

WINDOW_S = 10.0
INDEX_PER_OCTAVE = 10
"""Buckets of lengths per doubling of tokens (docs/contracts.md, section 6)."""

Lengths = tuple[int, int]
"""Indexes of input and output tokens."""


@dataclass(frozen=True, slots=True)
class Window:
    """A model's requests of `duration_s` seconds, all gateways together."""

    duration_s: float
    arrivals: int
    completed: Mapping[Lengths, int] = field(default_factory=dict)
    arrived_inputs: Mapping[int, int] | None = None
    """Arrivals by index of input tokens; None = not told."""
    in_flight: int = 0
    """Requests that engines had at its end."""
    queued: int = 0
    """Requests that waited in gateways at its end."""
    refused: int = 0
    """Requests that limits of users refused; they are no arrivals, because more replicas would not serve them."""
    sent: Mapping[str, int] = field(default_factory=dict)
    """Requests sent, by deployment."""
    starts_at_s: float = 0.0
    """Unix time of its beginning, by the clock of Redis."""
    writers: int = 1
    """Workers that counted it."""

    @property
    def waiting(self) -> int:
        """Requests in flight and in queues at its end."""
        return self.in_flight + self.queued


def index_of(tokens: int) -> int:
    """Return the bucket of a length: round(10 log2(tokens)), rounded once; no tokens are in bucket 0."""
    return round(INDEX_PER_OCTAVE * log2(tokens)) if tokens > 0 else 0


def tokens_of(index: int) -> float:
    """Return the tokens in the middle of a bucket."""
    return exp2(index / INDEX_PER_OCTAVE)
