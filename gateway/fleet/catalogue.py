"""The models of this worker as the list of models shows them.

Lives here: since when a model is known.  Not here: which models there are (fleet), the shape of the list
(gateway.openai.answers).
"""

from collections.abc import Callable, Sequence

from gateway.fleet.fleet import Fleet
from gateway.openai.answers import ModelCard


class Catalogue:
    """The models of one worker.  `clock` returns Unix seconds."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._since: dict[str, int] = {}

    def cards(self) -> Sequence[ModelCard]:
        """Return all models in the order of the configuration.  Call it once for each change, to note the time."""
        now_s = int(self._clock())
        self._since = {name: self._since.get(name, now_s) for name in self._fleet.models()}
        return [ModelCard(name, since, self._fleet.max_model_len(name)) for name, since in self._since.items()]
