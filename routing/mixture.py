"""Mixtures of strategies: `a:2,b` adds twice a's score to b's, each scaled to [0, 1].

Lives here: the grammar and the sum.  Not here: the valid names (table).
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from routing.scoring import Scoring, normalised
from routing.strategy import Strategy, Tools
from routing.types import AND, Candidates, Decision, RouteRequest, Scored

MAX_WEIGHT = 1000
"""The largest weight of a part (docs/contracts.md section 4)."""


class MixturePart(NamedTuple):
    """One strategy of a mixture."""

    name: str
    weight: int


def parse_mixture(text: str) -> list[MixturePart]:
    """Return the parts of `a:2,b`; the default weight is 1.  Raises ValueError whose message says what is wrong."""
    parts = []
    for item in text.split(","):
        name, colon, weight = item.partition(":")
        if colon and not (weight.isascii() and weight.isdigit() and int(weight) <= MAX_WEIGHT):
            raise ValueError(f"weight of {name!r} = {weight!r}, must be an integer from 0 to {MAX_WEIGHT}")
        parts.append(MixturePart(name, int(weight) if colon else 1))
    if not any(part.weight for part in parts):
        raise ValueError("weights are all 0")
    if len({part.name for part in parts}) < len(parts):  # else a header of thousands of parts would cost a pick's time
        raise ValueError("a strategy is named twice")
    return parts


class Mixture(Scoring):
    """Adds the weighted scores of other strategies, whose state it shares; constructed for each request."""

    name: ClassVar[str] = "mixture"
    unit: ClassVar[str] = "weighted"

    def __init__(self, text: str, parts: Sequence[tuple[Strategy, int]], tools: Tools) -> None:
        super().__init__(tools)
        self._text = text
        self._parts = [(strategy, weight) for strategy, weight in parts if weight]

    def part_names(self) -> tuple[str, ...]:
        """Return the names of the strategies with a weight."""
        return tuple([strategy.name for strategy, _ in self._parts])

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:
        """Return the candidate with the lowest sum; the strategy named in the decision is the mixture's text."""
        return super().pick(request, candidates, now_s)._replace(strategy=self._text)

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: D102  the base says it
        columns = []
        fallbacks = []
        for strategy, weight in self._parts:
            scored = strategy.score(request, candidates, now_s)
            if scored.fallback:
                fallbacks.append(scored.fallback)
            scaled = dict(zip(map(id, scored.pods), normalised(scored.scores), strict=True))
            columns.append([weight * scaled.get(id(pod), 1.0) for pod in candidates])  # 1: not among the pods it scored
        parts = list(zip(*columns, strict=True))
        return Scored(candidates, list(map(sum, parts)), parts, AND.join(dict.fromkeys(fallbacks)))
