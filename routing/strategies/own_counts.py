"""Strategies that choose the pod where one of the gateway's own counts is lowest.

Lives here: which count.  Not here: counting (routing.pods.load), the choice (routing.scoring).
"""

from operator import attrgetter
from typing import ClassVar

from routing.scoring import Scoring
from routing.types import Candidates, RouteRequest, Scored

_IN_FLIGHT = attrgetter("in_flight")


class LeastRequest(Scoring):
    """Chooses the pod with the fewest requests in flight (join the shortest queue)."""

    name: ClassVar[str] = "least-request"
    unit: ClassVar[str] = "in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, list(map(_IN_FLIGHT, candidates)))

    def one_more(self, request: RouteRequest, scored: Scored, best: int) -> float:  # noqa: ARG002, D102  the base says it
        return 1.0


class LeastLoad(Scoring):
    """Chooses the pod with the fewest tokens in flight: those to be computed plus those resident in the KV cache."""

    name: ClassVar[str] = "least-load"
    unit: ClassVar[str] = "tokens in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [pod.prefill_tokens + pod.resident_tokens for pod in candidates])


class Throughput(Scoring):
    """Chooses the pod that has processed the fewest weighted tokens in the window."""

    name: ClassVar[str] = "throughput"
    unit: ClassVar[str] = "weighted tokens processed"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [pod.processed_tokens(now_s) for pod in candidates])


class LeastBusyTime(Scoring):
    """Chooses the pod that had a request in flight for the least time in the window."""

    name: ClassVar[str] = "least-busy-time"
    unit: ClassVar[str] = "s busy"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [pod.busy_s(now_s) for pod in candidates])


class LeastLatency(Scoring):
    """Chooses the pod with the lowest latency per weighted token of finished requests.

    A pod without finished requests counts as the mean of the others, so that it is tried and not flooded.  While no pod
    has any, requests in flight decide.
    """

    name: ClassVar[str] = "least-latency"
    unit: ClassVar[str] = "ms per token"
    fallback_unit: ClassVar[str] = "in flight"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        latencies = [pod.latency_per_token_s for pod in candidates]
        known = [latency for latency in latencies if latency is not None]
        if not known:
            return Scored(candidates, list(map(_IN_FLIGHT, candidates)), fallback="nothing-finished")
        mean = sum(known) / len(known)
        return Scored(candidates, [1000 * (mean if latency is None else latency) for latency in latencies])
