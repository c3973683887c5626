"""Mixtures of strategies: `a:2,b` adds twice a's score to b's, each brought to [0, 1].

Lives here: the grammar and the sum.  Not here: which names there are (table).
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from routing.scoring import Scoring, normalised
from routing.strategy import Strategy, Tools
from routing.types import AND, Candidates, Decision, RouteRequest, Scored

MOST_WEIGHT = 1000  # contracts section 4


class Share(NamedTuple):
    """One part of a mixture."""

    name: str
    weight: int


def parse_mixture(text: str) -> list[Share]:
    """Return the parts of `a:2,b`; a weight that is left out is 1.  Raises ValueError that says what is wrong."""
    shares = []
    for part in text.split(","):
        name, colon, weight = part.partition(":")
        if colon and not (weight.isascii() and weight.isdigit() and int(weight) <= MOST_WEIGHT):
            raise ValueError(f"weight of {name!r} = {weight!r}, must be an integer from 0 to {MOST_WEIGHT}")
        shares.append(Share(name, int(weight) if colon else 1))
    if not any(share.weight for share in shares):
        raise ValueError("weights are all 0")
    if len({share.name for share in shares}) < len(shares):  # or a header of thousands would take the gateway's time
        raise ValueError("a strategy is named twice")
    return shares


class Mixture(Scoring):
    """The weighted sum of others' scores.  Shares their state; made anew for each request."""

    name: ClassVar[str] = "mixture"
    unit: ClassVar[str] = "weighted"

    def __init__(self, text: str, parts: Sequence[tuple[Strategy, int]], tools: Tools) -> None:
        super().__init__(tools)
        self._text = text
        self._parts = [(strategy, weight) for strategy, weight in parts if weight]

    def part_names(self) -> tuple[str, ...]:
        """Return the names of the strategies that count."""
        return tuple([strategy.name for strategy, _ in self._parts])

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:
        """Return the candidate of the lowest sum, chosen in the name of the mixture's own text."""
        return super().pick(request, candidates, now_s)._replace(strategy=self._text)

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: D102  the base says it
        columns = []
        fallbacks = []
        for strategy, weight in self._parts:
            scored = strategy.score(request, candidates, now_s)
            if scored.fallback:
                fallbacks.append(scored.fallback)
            looked_at = dict(zip(map(id, scored.pods), normalised(scored.scores), strict=True))
            columns.append([weight * looked_at.get(id(pod), 1.0) for pod in candidates])
        parts = list(zip(*columns, strict=True))
        return Scored(candidates, list(map(sum, parts)), parts, AND.join(dict.fromkeys(fallbacks)))
