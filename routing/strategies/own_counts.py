"""Strategies that read one count of the gateway's own: the pod where it is lowest.

Lives here: which count.  Not here: counting (routing.pods.load), the choice (routing.scoring).
"""

from operator import attrgetter
from typing import ClassVar

from routing.scoring import Scoring
from routing.types import Candidates, RouteRequest, Scored

_IN_FLIGHT = attrgetter("in_flight")


class LeastRequest(Scoring):
    """Fewest requests in flight (join the shortest queue)."""

    name: ClassVar[str] = "least-request"
    unit: ClassVar[str] = "in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, list(map(_IN_FLIGHT, candidates)))


class LeastLoad(Scoring):
    """Fewest tokens in flight: prompts that have to be computed, and what is resident while answers are made."""

    name: ClassVar[str] = "least-load"
    unit: ClassVar[str] = "tokens in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [pod.prefill_tokens + pod.resident_tokens for pod in candidates])


class Throughput(Scoring):
    """Fewest weighted tokens processed in the window."""

    name: ClassVar[str] = "throughput"
    unit: ClassVar[str] = "weighted tokens processed"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [pod.processed_tokens(now_s) for pod in candidates])


class LeastBusyTime(Scoring):
    """Least time with a request in flight in the window."""

    name: ClassVar[str] = "least-busy-time"
    unit: ClassVar[str] = "s busy"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [pod.busy_s(now_s) for pod in candidates])


class LeastLatency(Scoring):
    """Lowest latency of finished requests per weighted token.

    A pod of which nothing is known counts as the mean of the others, so that it is tried and not flooded; when nothing
    is known of any, fewest in flight stands in.
    """

    name: ClassVar[str] = "least-latency"
    unit: ClassVar[str] = "ms per token"
    stand_in: ClassVar[str] = "in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        latencies = [pod.latency_per_token_s for pod in candidates]
        known = [latency for latency in latencies if latency is not None]
        if not known:
            return Scored(candidates, list(map(_IN_FLIGHT, candidates)), fallback="nothing-finished")
        mean = sum(known) / len(known)
        return Scored(candidates, [1000 * (mean if latency is None else latency) for latency in latencies])
