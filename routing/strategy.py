"""What a strategy is: it picks one of the candidates, and it may learn from what became of earlier picks.

Lives here: the protocol and the event.  Not here: which strategies exist (routing.table), who may be picked
(routing.filters), in-flight counts (gateway.fleet.fleet).
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

from routing.types import Candidates, Decision, PodId, Rng, RouteRequest, Scored, Signal


class Finished(NamedTuple):
    """A request has ended.  What was not seen is None: unknown is never zero."""

    pod: PodId  # the one that answered, which may be a fallback
    request: RouteRequest
    now_s: float
    failed: bool  # refused by the engine, died on the way, or never answered
    duration_s: float | None = None  # from the first byte sent upstream to the last received
    first_byte_s: float | None = None  # from the first byte sent upstream to the first received
    input_tokens: int | None = None
    output_tokens: int | None = None

    def cost(self, output_weight: float) -> float:
        """Return its tokens with their weights: an input token counts 1."""
        return (self.input_tokens or 0) + output_weight * (self.output_tokens or 0)


class Strategy(Protocol):
    """A way to choose.  Instances live as long as the process and are never called concurrently."""

    name: ClassVar[str]
    """As the `routing-strategy` header spells it."""
    needs: ClassVar[frozenset[Signal]]
    """The engine metrics that `pick` reads; where one is None the decision's reason must say what stood in for it."""

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:
        """Say what is thought of the candidates: for mixtures, which want a score of each."""
        ...

    def part_names(self) -> tuple[str, ...]:
        """Say what `Scored.parts` mean, in order."""
        ...

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:
        """Choose among `candidates`, which is never empty and is not kept after the call.

        The fallbacks are the next best in the strategy's own order, never the chosen pod itself.
        """
        ...

    def observe(self, event: Finished) -> None:
        """Learn.  Every strategy in use sees every event, also those of requests that another one picked for."""
        ...


class Tools(NamedTuple):
    """What strategies are built from."""

    rng: Rng
    fallbacks: int = 2
    """How many pods they name after the chosen one at most."""
    output_weight: float = 2.0
    """How many input tokens an output token counts for, where work is weighed."""


StrategyFactory = Callable[[Tools], Strategy]
