"""The file of the supply: the GPUs, the money and the spot instances that all models share.

    inventory: {L20: 8}
    pools: {idc: {L20: 4, V100: 2}}
    budget: 40
    spot_share: 0.5
    spot_share_per_domain: 0.25
    on_demand_min: 1

Lives here: keys and rules.  Not here: what they mean (optimizer.solver.supply), reading YAML (documents).
"""

from typing import Annotated

from pydantic import Field

from optimizer.service.documents import Document, read_yaml
from optimizer.solver.supply import Supply

Count = Annotated[int, Field(ge=0, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]


class SupplyDocument(Document):
    """The whole file; keys that are left out are no limits."""

    inventory: dict[str, Count] = Field(default_factory=dict)
    """GPUs by type, in all pools together."""
    pools: dict[str, dict[str, Count]] = Field(default_factory=dict)
    """GPUs by pool and type."""
    budget: Annotated[float, Field(ge=0)] | None = None
    spot_share: Share | None = None
    spot_share_per_domain: Share | None = None
    on_demand_min: Count = 0


def parse_supply(text: str | bytes) -> Supply:
    """Return the supply of a file's text.  Raises InputError with all that is wrong."""
    found = read_yaml(text, SupplyDocument)
    return Supply(
        found.inventory,
        found.pools,
        found.budget,
        found.spot_share,
        found.spot_share_per_domain,
        found.on_demand_min,
    )
