"""The end of concurrency: the most requests that a pod computes at once, by its KV cache, its seats and the ITL.

Lives here: the three ends.  Not here: service times (service).
"""

import math
from collections.abc import Sequence

import msgspec

from autoscaling.observation import PodReading
from autoscaling.slo.service import Curve

KV_FULL = 0.96
"""Share of the KV cache that counts as full.  Simulated engines keep requests waiting from 0.97 on, but pods are not
filled evenly: with 0.97 a ramp that fills all of them for minutes misses 99.9 % by some hundredths, with 0.955 waves
cost 0.08 replicas more."""
KV_FREE = 0.9
"""Requests that wait while less is used wait for seats."""
KV_OLD = 0.95
PRIOR_SEATS = 16
FAR = 8
"""As long as the KV cache would hold more than this many times the largest concurrency seen, it is not taken for the
end, but the next power of two from PRIOR_SEATS."""
EVIDENCE = 4.0
"""Requests seen waiting at the largest concurrency, so that it is taken for the number of seats: one that just came
waits for the next pass."""
MOST_EVIDENCE = 2.0
"""Most evidence that one pod gives at one moment."""
ITL_SHARE = 0.9
"""Share of the promised ITL that is used."""


class Concurrency(msgspec.Struct):
    """The ends, as far as they are known."""

    kv_per_request: float = 0.0
    """Share of a pod's KV cache; 0 = unknown."""
    largest: float = 0.0
    """Requests that a pod was seen to compute at once."""
    evidence: float = 0.0

    def observe(self, pods: Sequence[PodReading]) -> None:
        """Take over the pods as they are now."""
        for pod in pods:
            if pod.running:
                self._observe(pod.running, pod.waiting or 0.0, pod.kv_usage)

    def _observe(self, running: float, waiting: float, kv_usage: float | None) -> None:
        if kv_usage:
            share = kv_usage / running
            self.kv_per_request += (1 - KV_OLD if self.kv_per_request else 1.0) * (share - self.kv_per_request)
        if running > self.largest:
            self.largest, self.evidence = running, 0.0
        used = running * self.kv_per_request if kv_usage is None else kv_usage  # an engine may never tell it: then 0
        if running == self.largest and used + 2 * self.kv_per_request < KV_FREE:
            self.evidence += min(waiting, MOST_EVIDENCE)

    def forget(self) -> None:
        """Forget the seats: the engine is another one."""
        self.largest = self.evidence = self.kv_per_request = 0.0

    @property
    def seats(self) -> float:
        """Requests that a pod computes at once, infinite = unknown."""
        return self.largest if self.evidence >= EVIDENCE else float("inf")

    def end(self, seen: int, curve: Curve, longest_s: float) -> float:
        """Return the most requests at once, of which none takes longer than `longest_s`."""
        kv = KV_FULL / self.kv_per_request if self.kv_per_request else float("inf")
        end = min(kv, self.seats)
        if end > FAR * seen:
            end = min(end, PRIOR_SEATS * 2 ** max(0, math.ceil(math.log2(max(1, seen) / PRIOR_SEATS))))
        if curve.exponent and curve.seconds(end) > longest_s:
            end = curve.b0 * (longest_s / curve.s0) ** (1 / curve.exponent)
        return max(1.0, end)
