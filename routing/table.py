"""All strategies by their public names, and the header that names one.

Lives here: the one table; nothing registers itself by being imported.  Not here: the strategy of a model
(gateway.fleet.fleet).
"""

from collections.abc import Mapping

from routing.mixture import MAX_WEIGHT, MixturePart, parse_mixture
from routing.strategies.forebay import Forebay
from routing.strategies.own_counts import LeastBusyTime, LeastLatency, LeastLoad, LeastRequest, Throughput
from routing.strategies.prefixes import PrefixCache, PrefixCacheAndLoad, PrefixCachePreble
from routing.strategies.random_choice import PowerOfTwo, RandomChoice
from routing.strategies.session_affinity import SessionAffinity
from routing.strategies.signals import LeastGpuCache, LeastKvCache, LeastUtilization
from routing.strategies.slo import Slo, SloLeastLoad, SloPackLoad
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
    Slo.name: lambda tools: Slo(tools, Forebay(tools)),
    SloLeastLoad.name: lambda tools: SloLeastLoad(tools, Forebay(tools), LeastLoad(tools)),
    SloPackLoad.name: lambda tools: SloPackLoad(tools, Forebay(tools), LeastLoad(tools)),
    Throughput.name: Throughput,
    VtcBasic.name: VtcBasic,
}


MAX_NAME_CHARACTERS = 512
"""Characters of a strategy or mixture at most: more than all strategies with weights have (chosen: a header could have
60,000, half a microsecond each, and its refusal repeats them)."""


class UnknownStrategyError(ValueError):
    """`name` is neither a strategy nor a mixture; `valid` lists the names of strategies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.valid = tuple(sorted(STRATEGIES))
        super().__init__(
            f"routing strategy = {name[:MAX_NAME_CHARACTERS]!r}, must be one of: {', '.join(self.valid)}; "
            f"or several, each once, with weights from 0 to {MAX_WEIGHT}, not all 0, as in least-request:2,random"
        )


def build(name: str, tools: Tools) -> Strategy:
    """Return a new strategy of this name.  Raises UnknownStrategyError."""
    if name not in STRATEGIES:
        raise UnknownStrategyError(name)
    return STRATEGIES[name](tools)


def mixture_parts(name: str) -> list[MixturePart]:
    """Return the parts of a mixture; a single name is a mixture of one part.  Raises UnknownStrategyError."""
    if len(name) > MAX_NAME_CHARACTERS:
        raise UnknownStrategyError(name)
    try:
        parsed = parse_mixture(name)
    except ValueError as error:
        raise UnknownStrategyError(name) from error
    if not all(part.name in STRATEGIES for part in parsed):
        raise UnknownStrategyError(name)
    return parsed


def validated(name: str) -> str:
    """Return `name` if it is a strategy or a mixture.  Raises UnknownStrategyError."""
    if name not in STRATEGIES:
        mixture_parts(name)
    return name


def parse_header(value: str | None) -> str | None:
    """Return the strategy that a `routing-strategy` header names; None = the header is absent or empty.

    Raises UnknownStrategyError: names are exact and lower case (docs/contracts.md section 4).
    """
    return validated(value) if value else None
