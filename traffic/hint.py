"""A hint: which deployments should serve which lengths of a model's requests, as the optimizer planned it.

Lives here: the value.  Not here: its format and where it is kept, how requests are routed by it (routing).
"""

from collections.abc import Mapping
from dataclasses import dataclass

Weights = Mapping[str, float]
"""Shares of requests by deployment; they add up to one, or there are none where nobody can serve."""


@dataclass(frozen=True, slots=True)
class Hint:
    """The plan of one model.  `outputs` and `inputs` are lengths in tokens, ascending: the middles of its cells."""

    version: int
    """Grows with every plan of the model."""
    created_s: float
    """Unix time, by the clock of Redis."""
    outputs: tuple[float, ...]
    inputs: tuple[float, ...]
    replicas: Mapping[str, int]
    """Planned replicas by deployment."""
    share: tuple[tuple[Weights, ...], ...]
    """By output and input length."""
    in_share: tuple[Weights, ...]
    """By input length alone, for requests whose output length is unknown."""
    throughput: Mapping[str, tuple[tuple[float, ...], ...]]
    """Requests per second that one replica carries inside the SLO, by deployment, output and input length; 0 = none."""
    unserved: tuple[tuple[int, int, float], ...] = ()
    """Output index, input index and share of each cell that nobody serves in full."""
    slo: Mapping[str, float] | None = None
    """Targets in seconds, by name."""
    cost: float = 0.0
    """Money per hour."""
