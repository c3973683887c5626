"""The description of a fleet that every discovery gives, and the protocol of a discovery.

Lives here: the value and the seam.  Not here: where it comes from (static), what is made of it (gateway.fleet for the
gateway, gateway.envoy.endpoints for Envoy).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.config.pools import PoolSettings
from gateway.openai.rewrites import Rewrite
from ratelimit.prices import FREE, Prices
from routing.types import Endpoint


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """How requests for one model are routed and limited."""

    strategy: str = ""  # empty: the gateway's default
    locked: bool = False  # the `routing-strategy` header is ignored
    rps: int | None = None  # requests in any second, of all users together; None: unlimited
    slo_ttft_s: float | None = None  # None: the gateway's default; 0: nothing is promised
    slo_itl_s: float | None = None
    scales_from_zero: bool = False  # somebody starts its first pod when told that requests wait for it
    waits_for_adapters: bool = False  # requests for an adapter wait while it is known and no pod has it
    prices: Prices = FREE
    profiles: Mapping[str, "ModelPolicy"] = field(default_factory=dict)  # in its place, by the header `config-profile`

    def of_adapter(self) -> "ModelPolicy":
        """Return the policy of the model's adapters: its own; somebody loads them, as a first pod is started."""
        return replace(self, scales_from_zero=True) if self.waits_for_adapters else self


@dataclass(frozen=True, slots=True)
class FleetDescription:
    """All models and all endpoints, each with an id and an address of its own, and what steers requests for them.

    A model without endpoints is known and answers 503.
    """

    models: Mapping[str, ModelPolicy] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    objectives: Mapping[str, int] = field(default_factory=dict)  # name -> priority
    rewrites: tuple[Rewrite, ...] = ()  # of rules for one model, or for any, the first counts
    pools: Mapping[str, PoolSettings] = field(default_factory=dict)  # by name; endpoints may be in others, or in none
    adapters: Mapping[str, str] = field(default_factory=dict)  # name -> base model, of those that are to be loaded

    @property
    def engines(self) -> tuple[Endpoint, ...]:
        """The endpoints that tell of their health and their metrics, as APIs do not."""
        return tuple(endpoint for endpoint in self.endpoints if not endpoint.is_api)

    def bases(self) -> dict[str, str | None]:
        """Return the base model of every model and adapter, which a base model is itself; None = no engine has it."""
        bases: dict[str, str | None] = {**dict.fromkeys(self.models), **self.adapters}
        for endpoint in self.endpoints:
            base = endpoint.models[0]
            bases |= {name: base for name in endpoint.models if bases.get(name) is None}
        return bases | {endpoint.models[0]: endpoint.models[0] for endpoint in self.endpoints}


class Discovery(Protocol):
    """Tells what the fleet is: level-triggered, not edge-triggered, so that a missed message costs nothing."""

    def watch(self) -> AsyncIterator[FleetDescription]:
        """Yield the whole fleet at once and again whenever it changes; ends when it never will."""
        ...

    def behind_s(self) -> Mapping[str, float]:
        """Return for how long each set that it follows, by its name, has not been current, in seconds; 0 if it is."""
        ...
