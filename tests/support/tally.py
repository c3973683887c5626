"""The change of a stack's counters while a test ran."""

from collections import Counter

from tests.support.stack import Stack


class Tally:
    """The change of the counters since its creation."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        count: Counter[str] = Counter()
        for (name, labels), value in self._stack.metrics().items():
            if name == "forebay_requests_total":
                count[dict(labels)["outcome"]] += value
        kinds = ("reserved", "refunded", "input", "output")
        return dict(count) | {kind: self._stack.figure("forebay_tokens_total", kind=kind) for kind in kinds}

    def outcomes(self) -> dict[str, float]:
        """Requests by outcome."""
        self._stack.settled()
        kinds = {"reserved", "refunded", "input", "output"}
        return {name: n for name, n in self.moved().items() if n and name not in kinds}

    def moved(self) -> dict[str, float]:
        """All of them."""
        return {name: value - self._before.get(name, 0) for name, value in self._now().items()}
