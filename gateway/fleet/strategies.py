"""The strategies in use: each is built at its first use and then learns from every request.

Lives here: building and keeping them.  Not here: the strategies and their names (routing.strategies, routing.table).
"""

from collections.abc import Callable

from routing import table
from routing.mixture import Mixture
from routing.strategy import Finished, Strategy, Tools

StrategyBuilder = Callable[[str, Tools], Strategy]
"""Builds a strategy by name, or raises UnknownStrategyError: `routing.table.build`, or one that knows more names."""


class Strategies:
    """Strategies by name."""

    def __init__(self, tools: Tools, build: StrategyBuilder) -> None:
        self._tools = tools
        self._build = build
        self._in_use: dict[str, Strategy] = {}
        self.counts_users = False
        """Whether any strategy in use counts what users got, here and at other replicas."""

    def get(self, name: str) -> Strategy:
        """Return the strategy of this name, or the mixture.  Raises UnknownStrategyError."""
        strategy = self._in_use.get(name)
        if strategy is None:
            if "," in name or ":" in name:  # not kept, because clients may name any number of mixtures
                parts = [(self.get(part.name), part.weight) for part in table.mixture_parts(name)]
                return Mixture(name, parts, self._tools)
            strategy = self._in_use[name] = self._build(name, self._tools)
            self.counts_users = self.counts_users or strategy.counts_users
        return strategy

    def observe(self, event: Finished) -> None:
        """Let every strategy in use learn from a request's end."""
        for strategy in self._in_use.values():
            strategy.observe(event)

    def serve(self, user: str, tokens: float, now_s: float) -> None:
        """Let every strategy in use know of service that a user got from other replicas, in weighted tokens."""
        for strategy in self._in_use.values():
            strategy.serve(user, tokens, now_s)
