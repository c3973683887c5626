"""Every strategy there is, by its public name, and how a request's header names one.

Lives here: the one table; nothing registers itself by being imported.  Not here: which strategy a model prefers
(gateway.fleet.fleet).
"""

from collections.abc import Mapping

from routing.mixture import MOST_WEIGHT, Share, parse_mixture
from routing.strategies.forebay import Forebay
from routing.strategies.own_counts import LeastBusyTime, LeastLatency, LeastLoad, LeastRequest, Throughput
from routing.strategies.prefixes import PrefixCache, PrefixCacheAndLoad, PrefixCachePreble
from routing.strategies.random_choice import PowerOfTwo, RandomChoice
from routing.strategies.session_affinity import SessionAffinity
from routing.strategies.signals import LeastGpuCache, LeastKvCache, LeastUtilization
from routing.strategies.vtc_basic import VtcBasic
from routing.strategy import Strategy, StrategyFactory, Tools

STRATEGIES: Mapping[str, StrategyFactory] = {
    Forebay.name: Forebay,
    LeastBusyTime.name: LeastBusyTime,
    LeastGpuCache.name: LeastGpuCache,
    LeastKvCache.name: LeastKvCache,
    LeastLatency.name: LeastLatency,
    LeastLoad.name: LeastLoad,
    LeastRequest.name: LeastRequest,
    LeastUtilization.name: LeastUtilization,
    PowerOfTwo.name: PowerOfTwo,
    PrefixCache.name: PrefixCache,
    PrefixCacheAndLoad.name: PrefixCacheAndLoad,
    PrefixCachePreble.name: PrefixCachePreble,
    RandomChoice.name: RandomChoice,
    SessionAffinity.name: SessionAffinity,
    Throughput.name: Throughput,
    VtcBasic.name: VtcBasic,
}


class UnknownStrategyError(ValueError):
    """No strategy is called `name` and it is no mixture; `valid` lists the names there are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.valid = tuple(sorted(STRATEGIES))
        super().__init__(
            f"routing strategy = {name!r}, must be one of: {', '.join(self.valid)}; "
            f"or several, each once, with weights from 0 to {MOST_WEIGHT}, not all 0, as in least-request:2,random"
        )


def build(name: str, tools: Tools) -> Strategy:
    """Return a new strategy of the table.  Raises UnknownStrategyError."""
    if name not in STRATEGIES:
        raise UnknownStrategyError(name)
    return STRATEGIES[name](tools)


def shares(name: str) -> list[Share]:
    """Return the parts of a mixture; of a single name, that name.  Raises UnknownStrategyError."""
    try:
        parsed = parse_mixture(name)
    except ValueError as error:
        raise UnknownStrategyError(name) from error
    if not all(share.name in STRATEGIES for share in parsed):
        raise UnknownStrategyError(name)
    return parsed


def known(name: str) -> str:
    """Return `name` when it is a strategy or a mixture of some.  Raises UnknownStrategyError."""
    if name not in STRATEGIES:
        shares(name)
    return name


def parse_header(value: str | None) -> str | None:
    """Return the strategy that a `routing-strategy` header names; None when absent or empty.

    Raises UnknownStrategyError: names are exact and lower case (contracts section 4).
    """
    return known(value) if value else None
