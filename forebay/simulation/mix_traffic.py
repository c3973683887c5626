"""Counts of a mix's traffic in virtual time, as the optimizer reads them.

Lives here: counting, as gateways do.  Not here: the gateway (elastic_router), where real ones keep what they count
(traffic).
"""

from collections import Counter

from routing.strategy import Finished
from routing.types import RouteRequest
from traffic.window import WINDOW_S, Lengths, Window, index_of


class WindowCounts:
    """Counts for windows of traffic."""

    def __init__(self) -> None:
        self._completed: Counter[Lengths] = Counter()
        self._inputs: Counter[int] = Counter()
        self._sent: Counter[str] = Counter()

    def arrived(self, request: RouteRequest) -> None:
        """Count an arrival by the length of its prompt."""
        self._inputs[index_of(request.prompt_tokens)] += 1

    def sent(self, deployment: str) -> None:
        """Count a request that was sent to a deployment."""
        self._sent[deployment] += 1

    def finished(self, event: Finished) -> None:
        """Count an answer by its lengths."""
        if event.input_tokens is not None and event.output_tokens is not None:
            self._completed[index_of(event.input_tokens), index_of(event.output_tokens)] += 1

    def window(self, now_s: float, in_flight: int, waiting: int) -> Window:
        """Return what was counted since the last call, and begin anew."""
        window = Window(
            WINDOW_S, self._inputs.total(), dict(self._completed), dict(self._inputs), in_flight, waiting,
            sent=dict(self._sent), starts_at_s=now_s - WINDOW_S,
        )  # fmt: skip
        for counts in (self._completed, self._inputs, self._sent):
            counts.clear()
        return window
