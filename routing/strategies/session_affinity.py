"""Session affinity: requests of one session go to one pod.

Lives here: rendezvous hashing (Thaler and Ravishankar, IEEE/ACM ToN 6(1), 1998): a pod that comes or goes moves only
the sessions that are its own, and every replica finds the same pod without asking.  Not here: where the name is from.
"""

from typing import ClassVar
from zlib import crc32

from routing.scoring import Scoring
from routing.types import Candidates, RouteRequest, Scored

_ODD = 0x9E3779B97F4A7C15
_BITS = (1 << 64) - 1


class SessionAffinity(Scoring):
    """The pod that the session's name draws; without one, fewest in flight."""

    name: ClassVar[str] = "session-affinity"
    unit: ClassVar[str] = "in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        if not request.session:
            return Scored(candidates, [pod.in_flight for pod in candidates], fallback="no-session")
        seed = crc32(request.session.encode())
        return Scored(candidates, [_drawn(seed, pod.endpoint.id) for pod in candidates])

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:
        """Return that it is the session's pod."""
        return super().reason(request, scored, chosen) if scored.fallback else f"session's of {len(scored.pods)}"


def _drawn(seed: int, pod: str) -> float:
    """A number in [0, 1) that looks random; multiplying spreads what a checksum leaves close together."""
    mixed = (seed << 32 | crc32(pod.encode(), seed)) * _ODD & _BITS
    mixed = (mixed ^ mixed >> 29) * _ODD & _BITS
    return (mixed ^ mixed >> 32) / (_BITS + 1)
