"""The schedule of scrapes in a replay.

Lives here: when each engine is scraped.  Not here: a scrape itself (`scrapes`), passes (replay).

Each replica of the gateway scrapes each engine every `interval_s`, one after the other, at a phase of its own.  While
an engine computes a pass its scrape waits for the end of the pass, because the engine model's counts are true only
then.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Sequence
from math import inf

from routing.types import PodId

Scrape = Callable[[PodId, float], None]
"""Passes a replica what the engine's metrics page says at this time."""


class Scraping:
    """Scrapes the pods in turn, as gateways do: with each of `scrapes`, one for each replica."""

    def __init__(self, pods: Collection[PodId], scrapes: Sequence[Scrape], interval_s: float) -> None:
        self._scrapes = scrapes
        self._interval_s = interval_s
        turns = [(pod, replica) for pod in pods for replica in range(len(scrapes))]
        self._schedule = [(interval_s * number / len(turns), *turn) for number, turn in enumerate(turns, 1)]  # a heap
        self._waiting: defaultdict[PodId, set[int]] = defaultdict(set)  # to be scraped at the end of the pod's pass

    def replace(self, pods: Collection[PodId], now_s: float) -> None:
        """Scrape exactly these pods from now on, new ones at once."""
        known = {pod for _, pod, _ in self._schedule}
        self._schedule = [turn for turn in self._schedule if turn[1] in pods]
        heapq.heapify(self._schedule)
        for pod in [pod for pod in pods if pod not in known]:
            for replica, scrape in enumerate(self._scrapes):
                scrape(pod, now_s)
                heapq.heappush(self._schedule, (now_s + self._interval_s, pod, replica))

    @property
    def next_s(self) -> float:
        """The time of the next scrape; infinity = never."""
        return self._schedule[0][0] if self._schedule else inf

    def advance(self, now_s: float, busy: Container[PodId]) -> None:
        """Scrape the pods whose time has come; those that are `busy` are scraped at the end of their pass."""
        while self._schedule and self._schedule[0][0] <= now_s:
            due_s, pod, replica = self._schedule[0]
            heapq.heapreplace(self._schedule, (due_s + self._interval_s, pod, replica))
            if pod in busy:
                self._waiting[pod].add(replica)
            else:
                self._scrapes[replica](pod, due_s)

    def end_pass(self, pod: PodId, now_s: float) -> None:
        """Scrape the pod if scrapes waited for the end of this pass."""
        for replica in self._waiting.pop(pod, ()):
            self._scrapes[replica](pod, now_s)

    def before_decision(self, now_s: float) -> None:
        """Called before the router chooses; does nothing."""


class AllSeeing(Scraping):
    """Scrapes all engines before every decision, counts of the pass under way included: no gateway can do that."""

    def __init__(self, pods: Collection[PodId], scrapes: Sequence[Scrape]) -> None:
        super().__init__(pods, scrapes, inf)
        self._pods = pods

    def before_decision(self, now_s: float) -> None:
        """Scrape all pods."""
        for scrape in self._scrapes:
            for pod in self._pods:
                scrape(pod, now_s)
