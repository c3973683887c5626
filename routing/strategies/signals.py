"""Strategies that choose the pod where the engine's own metrics are lowest.

Lives here: which metrics, and which count of the gateway replaces them.  Not here: scraping
(gateway.discovery.probing), the age of metrics (gateway.fleet.pod).  When one candidate lacks a metric the count is
used for all candidates, because the two cannot be compared.
"""

from collections.abc import Callable
from typing import ClassVar

from routing.scoring import Scoring
from routing.types import Candidates, PodView, RouteRequest, Scored, Signal


class BySignals(Scoring):
    """Chooses the pod where the sum of `signals` is lowest; `fallback_score` replaces it."""

    signals: ClassVar[tuple[Signal, ...]]
    fallback_score: ClassVar[Callable[[PodView], float]]

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002  the seam's signature
        """Return the sum of metrics of each candidate, or the fallback score of each."""
        scores = [0.0] * len(candidates)
        for signal in self.signals:
            for index, pod in enumerate(candidates):
                value = pod.signal(signal, now_s)
                if value is None:
                    fallback_scores = list(map(type(self).fallback_score, candidates))
                    return Scored(candidates, fallback_scores, fallback=f"{signal.value}-missing")
                scores[index] += value
        return Scored(candidates, scores)


def _tokens(pod: PodView) -> float:
    return pod.resident_tokens


def _requests(pod: PodView) -> float:
    return pod.in_flight


class LeastKvCache(BySignals):
    """Chooses the pod with the lowest KV cache usage; the fallback is the tokens believed to be resident."""

    name: ClassVar[str] = "least-kv-cache"
    unit: ClassVar[str] = "KV use"
    fallback_unit: ClassVar[str] = "resident tokens"
    needs = frozenset({Signal.KV_USAGE})
    signals = (Signal.KV_USAGE,)
    fallback_score = _tokens


class LeastGpuCache(LeastKvCache):
    """The same strategy by its older name: engines no longer report the GPU's cache apart from others."""

    name: ClassVar[str] = "least-gpu-cache"


class LeastUtilization(BySignals):
    """Chooses the pod whose engine reports the fewest requests running and waiting; the fallback is those in flight."""

    name: ClassVar[str] = "least-utilization"
    unit: ClassVar[str] = "running and waiting"
    fallback_unit: ClassVar[str] = "in flight"
    needs = frozenset({Signal.RUNNING, Signal.WAITING})
    signals = (Signal.RUNNING, Signal.WAITING)
    fallback_score = _requests
