"""The schedule of scrapes in a replay.

Lives here: when each engine is scraped.  Not here: a scrape itself (`scrape`), passes (replay).

Each engine is scraped every `interval_s`, one after the other.  While an engine computes a pass its scrape waits for
the end of the pass, because the engine model's counts are true only then.
"""

import heapq
from collections.abc import Callable, Collection, Container
from math import inf

from routing.types import PodId

Scrape = Callable[[PodId, float], None]
"""Passes the router what the engine's metrics page says at this time."""


class Scraping:
    """Scrapes the pods in turn, as a gateway does."""

    def __init__(self, pods: Collection[PodId], scrape: Scrape, interval_s: float) -> None:
        self._scrape = scrape
        self._interval_s = interval_s
        self._schedule = [(interval_s * number / len(pods), pod) for number, pod in enumerate(pods, 1)]  # a heap
        self._waiting: set[PodId] = set()  # pods to be scraped at the end of their pass

    def advance(self, now_s: float, busy: Container[PodId]) -> None:
        """Scrape the pods whose time has come; those that are `busy` are scraped at the end of their pass."""
        while self._schedule[0][0] <= now_s:
            due_s, pod = self._schedule[0]
            heapq.heapreplace(self._schedule, (due_s + self._interval_s, pod))
            if pod in busy:
                self._waiting.add(pod)
            else:
                self._scrape(pod, due_s)

    def end_pass(self, pod: PodId, now_s: float) -> None:
        """Scrape the pod if its scrape waited for the end of this pass."""
        if pod in self._waiting:
            self._waiting.remove(pod)
            self._scrape(pod, now_s)

    def before_decision(self, now_s: float) -> None:
        """Called before the router chooses; does nothing."""


class AllSeeing(Scraping):
    """Scrapes all engines before every decision, counts of the pass under way included: no gateway can do that."""

    def __init__(self, pods: Collection[PodId], scrape: Scrape) -> None:
        super().__init__(pods, scrape, inf)
        self._pods = pods

    def before_decision(self, now_s: float) -> None:
        """Scrape all pods."""
        for pod in self._pods:
            self._scrape(pod, now_s)
