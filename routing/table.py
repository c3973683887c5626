"""Every strategy there is, by its public name, and how a request's header names one.

Lives here: the one table; nothing registers itself by being imported.  Not here: which strategy a model prefers
(gateway.fleet).
"""

from collections.abc import Mapping

from routing.strategies.least_request import LeastRequest
from routing.strategies.random_choice import RandomChoice
from routing.strategy import Strategy, StrategyFactory
from routing.types import Rng

STRATEGIES: Mapping[str, StrategyFactory] = {
    LeastRequest.name: LeastRequest,
    RandomChoice.name: RandomChoice,
}


class UnknownStrategyError(ValueError):
    """No strategy is called `name`; `valid` lists the names there are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.valid = tuple(sorted(STRATEGIES))
        super().__init__(f"routing strategy = {name!r}, must be one of: {', '.join(self.valid)}")


def build(name: str, rng: Rng, fallbacks: int) -> Strategy:
    """Return a new strategy.  Raises UnknownStrategyError."""
    return STRATEGIES[known(name)](rng, fallbacks)


def known(name: str) -> str:
    """Return `name` when a strategy is called exactly that.  Raises UnknownStrategyError."""
    if name not in STRATEGIES:
        raise UnknownStrategyError(name)
    return name


def parse_header(value: str | None) -> str | None:
    """Return the strategy that a `routing-strategy` header names; None when absent or empty.

    Raises UnknownStrategyError: names are exact and lower case (contracts section 4).
    """
    return known(value) if value else None
