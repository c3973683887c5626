"""What every discovery says: the whole fleet, each time.

Lives here: the value and the seam.  Not here: where it comes from (static), what is made of it (gateway.fleet.fleet).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from routing.types import Endpoint


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """How requests for one model are routed and limited."""

    strategy: str = ""  # empty: the gateway's default
    locked: bool = False  # the `routing-strategy` header does not count
    rps: int | None = None  # requests in any second, of all users together; None: unlimited
    slo_ttft_s: float | None = None  # None: the gateway's default; 0: nothing is promised
    slo_itl_s: float | None = None


@dataclass(frozen=True, slots=True)
class FleetDescription:
    """All models and all endpoints, ids unique.  A model without endpoints is known and answers 503."""

    models: Mapping[str, ModelPolicy] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()


class Discovery(Protocol):
    """Says what the fleet is: level-, not edge-triggered, so that a missed message costs nothing."""

    def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the whole fleet at once and then whenever it changed; ends when it never will."""
        ...
