"""Session affinity: requests of one session go to one pod.

Lives here: rendezvous hashing (Thaler and Ravishankar, IEEE/ACM ToN 6(1), 1998).  A pod that is added or removed moves
only its own sessions, and every replica chooses the same pod without coordination.  Not here: the header that names the
session.
"""

from typing import ClassVar
from zlib import crc32

from routing.scoring import Scoring
from routing.types import Candidates, RouteRequest, Scored

_MULTIPLIER = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio, made odd: Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4)."""
_MASK = (1 << 64) - 1


class SessionAffinity(Scoring):
    """Chooses the session's pod; without a session, the one with the fewest requests in flight."""

    name: ClassVar[str] = "session-affinity"
    unit: ClassVar[str] = "in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        if not request.session:
            return Scored(candidates, [pod.in_flight for pod in candidates], fallback="no-session")
        seed = crc32(request.session.encode())
        return Scored(candidates, [_weight(seed, pod.endpoint.id) for pod in candidates])

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:
        """Return that the pod is the session's; without a session the load."""
        return super().reason(request, scored, chosen) if scored.fallback else f"session's of {len(scored.pods)}"


def _weight(seed: int, pod: str) -> float:
    """Return the hash of session and pod in [0, 1).  Multiplications spread checksums that lie close together."""
    mixed = (seed << 32 | crc32(pod.encode(), seed)) * _MULTIPLIER & _MASK
    mixed = (mixed ^ mixed >> 29) * _MULTIPLIER & _MASK
    return (mixed ^ mixed >> 32) / (_MASK + 1)
