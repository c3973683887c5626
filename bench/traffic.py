"""Synthetic requests on the fleet of one replica, by which sharing is measured.

Lives here: requests at a steady rate, in real or in virtual time.  Not here: sending and hearing (sharing, siblings).
"""

import asyncio
import random
from collections import deque
from math import inf

from bench.picking import a_fleet
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.fleet.ticket import Ticket
from routing.strategy import Finished
from routing.types import RouteRequest

DURATION_S = 0.5
"""Seconds that a request runs."""
PROMPT_TOKENS, OUTPUT_TOKENS = 1_000, 100
BLOCK_TOKENS = 256.0
BLOCKS, COMMON_BLOCKS = 4, 2
"""Blocks of a prompt, and how many of them it shares with others."""
COMMON, USERS = 50, 50
"""Different beginnings of prompts, and users."""


def a_replica(name: str, pods: int, news: asyncio.Event) -> tuple[Fleet, Outbox]:
    """Return a fleet of so many pods that serve the model `m`, and the outbox that sets `news`."""
    outbox = Outbox(name, news.set)
    fleet = a_fleet(pods, seed=name, outbox=outbox)
    fleet.set_prefix_key(1)
    return fleet, outbox


class Traffic:
    """`rate` requests per second on a fleet, from `start_s` on, each ended after DURATION_S."""

    def __init__(self, fleet: Fleet, strategy: str, rate: float, start_s: float, rng: random.Random) -> None:
        self._fleet = fleet
        self._strategy = strategy
        self._interval_s = 1 / rate if rate else inf
        self._next_s = start_s + rng.random() * self._interval_s if rate else inf
        self._rng = rng
        self._open: deque[tuple[float, Ticket]] = deque()
        self.events_s: list[float] = []
        """The times at which requests began or ended; whoever reads them clears the list."""

    def advance(self, now_s: float) -> None:
        """Begin and end the requests that are due."""
        while self._next_s <= now_s:
            self._begin(self._next_s)
            self._next_s += self._interval_s
        while self._open and self._open[0][0] <= now_s:
            self._end(*self._open.popleft())

    def _begin(self, now_s: float) -> None:
        common = self._rng.randrange(COMMON)
        own = [self._rng.getrandbits(60) for _ in range(BLOCKS - COMMON_BLOCKS)]
        blocks = [common * COMMON_BLOCKS + n for n in range(COMMON_BLOCKS)] + own
        user = f"user-{self._rng.randrange(USERS)}"
        request = RouteRequest("m", user, PROMPT_TOKENS, OUTPUT_TOKENS, blocks=blocks, block_tokens=BLOCK_TOKENS)
        self._open.append((now_s + DURATION_S, self._fleet.route(request, self._strategy, now_s)))
        self.events_s.append(now_s)

    def _end(self, now_s: float, ticket: Ticket) -> None:
        self._fleet.release(ticket, now_s)
        pod = ticket.decision.pod.id
        self._fleet.finish(
            ticket, Finished(pod, ticket.request, now_s, False, DURATION_S, None, PROMPT_TOKENS, OUTPUT_TOKENS)
        )
        self.events_s.append(now_s)
