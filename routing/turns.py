"""Turns at pods: how many others may be sending to an open pod right now, while requests wait at several replicas.

Lives here: the agreement, which needs no message of its own.  Not here: which replicas have a user who is to be served
(fair_queue), whether a pod has room for a request and for those of others (overload).

All replicas see a pod open at the same moment, and each learns some milliseconds later what another has sent.  So they
stand in line at each pod: first the replica with the highest hash of pod, replica and the number of requests sent to
the pod so far by all (rendezvous hashing: Thaler and Ravishankar, IEEE/ACM ToN 6(1), 1998), and so on.  The line is
another one after each request.  One moves up when those in front had their time and nothing was sent: they are dead, or
have no use for the pod.
"""

from collections.abc import Collection
from hashlib import blake2b
from math import inf
from typing import NamedTuple

from routing.types import PodId, PodView

TURN_S = 0.02
"""Seconds until one moves up by a place (chosen: about twice the way of a message between replicas)."""
HOLD_S = 0.5
"""Seconds for which an open pod to which nothing is sent is left to users who were served less (chosen)."""
LAPSED_S = 0.5
"""Seconds after which a pod that was not found open counts as closed in between (chosen: a timer may be late)."""


class _Opening:
    """A pod that is open, and to which nothing was sent since."""

    def __init__(self, sent: int, now_s: float) -> None:
        self.sent = sent
        self.since_s = self.seen_s = now_s


class Turns:
    """The turns at all pods as one replica sees them."""

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self._openings: dict[PodId, _Opening] = {}

    def open_s(self, pod: PodView, now_s: float) -> float:
        """Return for how many seconds the pod, which is open, has been so without being sent anything."""
        opening = self._openings.get(pod.endpoint.id)
        if opening is None or opening.sent != pod.sent or now_s - opening.seen_s > LAPSED_S:
            opening = self._openings[pod.endpoint.id] = _Opening(pod.sent, now_s)
        opening.seen_s = now_s
        return now_s - opening.since_s

    def clear(self) -> None:
        """Forget all turns, because requests wait here only."""
        self._openings.clear()


class Place(NamedTuple):
    """A place in the line at an open pod."""

    before: float  # requests that others may be sending at this moment; infinity = the pod is not to be used
    lasts_s: float  # until the next place


FIRST = Place(0, inf)


class Turn(NamedTuple):
    """The turn of one request: the replicas that want pods too, and whether its user is to be served as theirs are."""

    turns: Turns
    rivals: Collection[str]
    takes_part: bool

    def place(self, pod: PodView, now_s: float) -> Place:
        """Return the request's place at a pod that is open.  O(rivals)."""
        open_s = self.turns.open_s(pod, now_s)
        if not self.takes_part:
            return Place(inf, HOLD_S - open_s) if self.rivals and open_s < HOLD_S else FIRST
        mine = _weight(pod, self.turns.replica)
        passed = int(open_s / TURN_S)
        before = sum(_weight(pod, rival) > mine for rival in self.rivals) - passed
        return Place(before, (passed + 1) * TURN_S - open_s) if before > 0 else FIRST


def _weight(pod: PodView, replica: str) -> bytes:
    return blake2b(f"{pod.endpoint.id} {pod.sent} {replica}".encode(), digest_size=8).digest()
