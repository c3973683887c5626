"""The protocol of strategies: pick one of the candidates, and learn from requests that have ended.

Lives here: the protocol and the event.  Not here: the strategies (routing.table), the candidates (routing.filters),
counts of requests in flight (gateway.fleet.fleet).
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

from routing.plans import Plans
from routing.ties import Ties
from routing.types import Candidates, Decision, PodId, Rng, RouteRequest, Scored, Signal


class Finished(NamedTuple):
    """A request has ended.  None = not observed (unknown is never zero)."""

    pod: PodId  # the pod that answered, which may be a fallback
    request: RouteRequest
    now_s: float
    failed: bool  # by the pod's fault: an error of the engine, broken off, or never answered
    duration_s: float | None = None  # from the first byte sent upstream to the last received
    first_byte_s: float | None = None  # from the first byte sent upstream to the first received
    input_tokens: int | None = None
    output_tokens: int | None = None
    answered: bool = True  # False: nothing that was seen shows that the pod works, whether it failed or not
    computed: bool = True  # the pod computed the prompt; False: it refused it, or the client left before anything came

    def cost(self, output_weight: float) -> float:
        """Return the weighted tokens of the request: an input token counts 1."""
        return (self.input_tokens or 0) + output_weight * (self.output_tokens or 0)


class Strategy(Protocol):
    """Chooses a pod.  An instance lives as long as the process and is never called concurrently."""

    name: ClassVar[str]
    """The name in the `routing-strategy` header."""
    needs: ClassVar[frozenset[Signal]]
    """The engine metrics that `pick` reads; when one is None the decision must name the fallback that was used."""
    counts_users: ClassVar[bool]
    """Whether `serve` learns anything, so that other replicas need to tell what their users got."""

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:
        """Return the scores of the candidates, which mixtures add up."""
        ...

    def part_names(self) -> tuple[str, ...]:
        """Return the names of `Scored.parts`, in order."""
        ...

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:
        """Choose one of `candidates`, which is never empty.

        The fallbacks are the next best in the strategy's own order, never the chosen pod itself.
        """
        ...

    def observe(self, event: Finished) -> None:
        """Learn from a request's end.  Each strategy in use gets all events, also of requests that others routed."""
        ...

    def serve(self, user: str, tokens: float, now_s: float) -> None:
        """Learn of service in weighted tokens that a user got from other replicas."""
        ...


class Tools(NamedTuple):
    """The constructor arguments of strategies."""

    rng: Rng
    fallbacks: int = 2
    """Maximum number of fallbacks in a decision."""
    output_weight: float = 2.0
    """Number of input tokens that an output token counts as."""
    ties: Ties | None = None
    """Breaks ties; None = by `rng` alone."""
    plans: Plans | None = None
    """The optimizer's plans; None = there are none."""


StrategyFactory = Callable[[Tools], Strategy]
