"""Strategies that read an engine's own metrics: the pod where they are lowest.

Lives here: which metrics, and which count of the gateway's stands in.  Not here: scraping (gateway.discovery.probing),
ages (pod). One candidate without the metric is enough for the stand-in to be used for all: figures of two kinds do not
compare.
"""

from collections.abc import Callable
from typing import ClassVar

from routing.scoring import Scoring
from routing.types import Candidates, PodView, RouteRequest, Scored, Signal


class BySignals(Scoring):
    """The sum of `reads`."""

    reads: ClassVar[tuple[Signal, ...]]
    own: ClassVar[Callable[[PodView], float]]

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002  the seam's signature
        """Return the metrics' sum of each candidate, or what stands in."""
        scores = [0.0] * len(candidates)
        for signal in self.reads:
            for index, pod in enumerate(candidates):
                value = pod.signal(signal, now_s)
                if value is None:
                    own = type(self).own
                    return Scored(candidates, [own(pod) for pod in candidates], fallback=f"{signal.value}-missing")
                scores[index] += value
        return Scored(candidates, scores)


def _tokens(pod: PodView) -> float:
    return pod.resident_tokens


def _requests(pod: PodView) -> float:
    return pod.in_flight


class LeastKvCache(BySignals):
    """Lowest use of the KV cache; the stand-in is the tokens believed to be resident."""

    name: ClassVar[str] = "least-kv-cache"
    unit: ClassVar[str] = "KV use"
    stand_in: ClassVar[str] = "resident tokens"
    needs = frozenset({Signal.KV_USAGE})
    reads = (Signal.KV_USAGE,)
    own = _tokens


class LeastGpuCache(LeastKvCache):
    """The same under its older name: engines no longer tell the cache on the GPU from another."""

    name: ClassVar[str] = "least-gpu-cache"


class LeastUtilization(BySignals):
    """Fewest requests running and waiting, as the engine says; the stand-in is the requests in flight."""

    name: ClassVar[str] = "least-utilization"
    unit: ClassVar[str] = "running and waiting"
    stand_in: ClassVar[str] = "in flight"
    needs = frozenset({Signal.RUNNING, Signal.WAITING})
    reads = (Signal.RUNNING, Signal.WAITING)
    own = _requests
