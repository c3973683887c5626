"""When the router hears what engines say of themselves.

Lives here: turns.  Not here: what is said and who hears it (`ask`), passes (replay).

Each engine has its turn every `interval_s`, one after the other.  One that computes answers at the end of its pass:
what the engine model has counted is true then.
"""

import heapq
from collections.abc import Callable, Collection, Container
from math import inf

from routing.types import PodId

Ask = Callable[[PodId, float], None]
"""Lets the router hear what the engine says now."""


class Scraping:
    """Of these pods, as a gateway does it."""

    def __init__(self, pods: Collection[PodId], ask: Ask, interval_s: float) -> None:
        self._ask = ask
        self._interval_s = interval_s
        self._turns = [(interval_s * number / len(pods), pod) for number, pod in enumerate(pods, 1)]
        self._asked: set[PodId] = set()

    def advance(self, now_s: float, busy: Container[PodId]) -> None:
        """It is now so late."""
        while self._turns[0][0] <= now_s:
            due_s, pod = self._turns[0]
            heapq.heapreplace(self._turns, (due_s + self._interval_s, pod))
            if pod in busy:
                self._asked.add(pod)
            else:
                self._ask(pod, due_s)

    def end_pass(self, pod: PodId, now_s: float) -> None:
        """What it computed is counted."""
        if pod in self._asked:
            self._asked.remove(pod)
            self._ask(pod, now_s)

    def decide(self, now_s: float) -> None:
        """The router is about to choose."""


class AllSeeing(Scraping):
    """All engines before every decision, what the pass under way will have counted included: no gateway sees that."""

    def __init__(self, pods: Collection[PodId], ask: Ask) -> None:
        super().__init__(pods, ask, inf)
        self._pods = pods

    def decide(self, now_s: float) -> None:
        """The router is about to choose."""
        for pod in self._pods:
            self._ask(pod, now_s)
