"""The models of this worker as the list of models shows them.

Lives here: since when a model is known.  Not here: which models there are (fleet), the shape of the list
(gateway.openai.answers).
"""

from collections.abc import Callable, Sequence

from gateway.fleet.fleet import Fleet
from gateway.openai.answers import ModelCard
from routing.types import NoCandidateError, RouteRequest


class Catalogue:
    """The models of one worker, and other names for them.  `clock` returns Unix seconds."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float], aliases: Sequence[str] = ()) -> None:
        self._fleet = fleet
        self._aliases = aliases
        self._clock = clock
        self._since: dict[str, int] = {}

    def cards(self) -> Sequence[ModelCard]:
        """Return all models in the order of the configuration.  Call it once for each change, to note the time."""
        now_s = int(self._clock())
        self._since = {name: self._since.get(name, now_s) for name in (*self._fleet.models(), *self._aliases)}
        return [ModelCard(name, since, self._length(name)) for name, since in self._since.items()]

    def serves(self, model: str) -> bool:
        """Return whether a pod of the model is ready."""
        try:
            self._fleet.check(RouteRequest(model))
        except NoCandidateError:
            return False
        return True

    def _length(self, model: str) -> int | None:
        """Return how many tokens every pod of the model takes, as far as they say it."""
        told = [length for length in self._fleet.model_lengths(model) if length is not None]
        return min(told, default=None)
