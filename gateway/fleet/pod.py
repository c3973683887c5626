"""A pod as this worker sees it: discovery's description, health, the engine's metrics, requests in flight.

Lives here: the state of one pod.  Not here: which pods there are (fleet), load and speed (routing.pods).
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from math import inf

from gateway.discovery.probing.readings import NOTHING, Readings
from routing.pods.adapters import Adapters
from routing.pods.foreign import Reported
from routing.pods.load import Load
from routing.pods.speed import Speed
from routing.prefix.index import Cache
from routing.types import Endpoint, PodId, Signal

CACHE_TOKENS = 250_000
"""Size of the KV cache assumed for a pod whose engine reports none, in tokens: that of an 8B model on a GPU with 48 GB
(chosen)."""
MAX_BUDGET = 10**9
"""The largest size of a cache in blocks, whatever is told of their size."""

RAMP_S = 30.0
"""Seconds until a pod that joins a running fleet gets its full share, as engines compile and warm up (chosen)."""
MAX_RAMP = 10.0
"""The factor by which such a pod's work counts as longer at first (Envoy's slow start has the same default)."""

MIN_EJECTION_S = 1.0
MAX_EJECTION_S = 30.0
"""Seconds for which a pod that failed a request is ejected: the first time, doubled after each further failure, and at
most.  After that it gets one request at a time until it answers one (chosen: a restart takes longer than the first,
and a pod that is back must not wait for minutes)."""
MAX_DOUBLINGS = 5
"""Doublings after which an ejection is MAX_EJECTION_S: a pod may fail for days."""
OUTCOME_DELAY_S = 0.5
"""Seconds after a trial request's end during which an ejected pod gets no other, because its outcome comes later, with
a flush of the access log (chosen: ten flushes)."""

PodIdentity = tuple[PodId, str, float | None]
"""Id, address and start time: if any differs it is another pod, which must not inherit requests of its predecessor."""


class PodState(StrEnum):
    """Whether a pod takes requests, or why not; the label `state` of `forebay_endpoints`."""

    READY = "ready"
    NOT_READY = "not-ready"  # by discovery
    UNHEALTHY = "unhealthy"  # by the health check
    DRAINING = "draining"
    GONE = "gone"  # no longer discovered, but with requests in flight


def pod_identity(endpoint: Endpoint) -> PodIdentity:
    """Return the identity of the pod that an endpoint describes."""
    return (endpoint.id, endpoint.address, endpoint.started_at)


class Pod(Load):
    """One pod; implements `routing.types.PodView`.  Only the fleet changes it."""

    __slots__ = (
        "_discovered", "_draining", "_fresh_until_s", "_healthy", "_readings", "_ready_s", "_signals", "adapters",
        "cache", "endpoint", "failures", "full_share_at_s", "gone", "model_lengths",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, cache: Cache, joined_s: float = -inf, kind: Speed | None = None) -> None:
        super().__init__(kind)
        self.adapters = Adapters()
        self.reset(endpoint, cache, joined_s)

    def reset(self, endpoint: Endpoint, cache: Cache, joined_s: float = -inf) -> None:
        """Start over from discovery's description, for a pod that is new or comes back; forgets health and metrics."""
        self.cache = cache
        self.gone = False
        self.failures = 0  # in a row; those of requests that ran at the same time count once
        self._ready_s = -inf  # when its ejection ends, or when it last answered
        self.full_share_at_s = joined_s + RAMP_S
        self._readings = NOTHING
        self.forget_totals()
        self.adapters.clear()
        self._signals: Mapping[Signal, float] = {}
        self._fresh_until_s = -inf
        self.model_lengths: Mapping[str, int] = {}  # tokens that a model takes, as the engine says
        self._healthy = True  # until checked, so that a restart of the gateway is no outage
        self._draining = False
        self.update(endpoint)

    def update(self, endpoint: Endpoint) -> None:
        """Take over a new description of discovery; health stays."""
        self._discovered = endpoint
        self._set_endpoint()

    def set_health(self, healthy: bool) -> bool:
        """Return whether this changed anything."""
        changed = self._healthy != healthy
        self._healthy = healthy
        self._set_endpoint()
        return changed

    def set_draining(self, draining: bool) -> bool:
        """Return whether this changed anything."""
        changed = self._draining != draining
        self._draining = draining
        self._set_endpoint()
        return changed

    def apply_readings(self, readings: Readings, now_s: float, fresh_until_s: float) -> None:
        """Apply the metrics that the engine reported.  After a restart of the engine its cache is empty."""
        if readings.restarted_since(self._readings):
            self.cache.clear()
            self.adapters.clear()
            self.forget_totals()
        self.adapters.observe(readings.adapters)
        self._readings = readings
        self._signals = {signal: value for signal, value in readings.signals.items() if 0 <= value < inf}
        self._fresh_until_s = fresh_until_s
        self._observe_foreign(now_s)
        self.observe(readings.totals, now_s, fresh_until_s)

    def _observe_foreign(self, now_s: float) -> None:
        """Find what others have here; of running and waiting requests one may be unknown, then there are more."""
        running, waiting = self._signals.get(Signal.RUNNING), self._signals.get(Signal.WAITING)
        if running is None and waiting is None:
            self.foreign.forget()
            return
        used, size = self._signals.get(Signal.KV_USAGE), self.cache_tokens
        tokens = None if used is None or size is None else max(0.0, used * size - self.resident_tokens)
        reported = Reported(running or 0.0, waiting or 0.0, tokens)
        self.foreign.observe(reported, self._readings.totals, self.sequences, now_s, self._fresh_until_s)

    def record_outcome(self, failed: bool, sent_s: float, now_s: float) -> bool:
        """Record the outcome of a request.  Return whether it counts, so that other replicas need to know it.

        A failure is ignored if the request was sent before the pod's ejection ended, or before it last answered:
        requests that ran together must not double the ejection one by one.
        """
        if not failed:
            self.failures, self._ready_s = 0, now_s
            return True
        if sent_s < self._ready_s:
            return False
        self.failures += 1
        doubled = min(self.failures - 1, MAX_DOUBLINGS)
        self._ready_s = now_s + min(MIN_EJECTION_S * 2**doubled, MAX_EJECTION_S)
        return True

    def record_proof(self, failures: int, ejected_s: float, now_s: float) -> None:
        """Take over what another replica knows: the failures in a row, and for how long the pod is ejected yet."""
        if failures:
            self.failures = max(self.failures, failures)
            self._ready_s = max(self._ready_s, now_s + min(ejected_s, MAX_EJECTION_S))
        else:
            self.failures, self._ready_s = 0, now_s

    def ejected_s(self, now_s: float) -> float:
        """Return the seconds until the pod's ejection ends."""
        return max(0.0, self._ready_s - now_s) if self.failures else 0.0

    def is_ejected(self, now_s: float) -> bool:
        """Return whether the pod failed a request and may not be tried now."""
        if not self.failures:
            return False
        return now_s < self._ready_s or self.in_flight > 0 or now_s - self._busy_seen_s < OUTCOME_DELAY_S

    def slow_start_factor(self, now_s: float) -> float:
        """See `PodView.slow_start_factor`."""
        age_s = now_s - self.full_share_at_s + RAMP_S
        return min(MAX_RAMP, RAMP_S / max(age_s, 1.0)) if age_s < RAMP_S else 1.0

    def is_loaded(self, model: str) -> bool:
        """See `PodView.is_loaded`."""
        return model == self.endpoint.models[0] or self.adapters.is_loaded(model)

    def signal(self, signal: Signal, now_s: float) -> float | None:
        """See `PodView.signal`."""
        return self._signals.get(signal) if now_s <= self._fresh_until_s else None

    @property
    def cache_tokens(self) -> float | None:
        """The size of the KV cache in tokens as the engine reported it, which does not become stale."""
        return self._readings.cache_tokens

    def set_block_tokens(self, block_tokens: float) -> None:
        """Set the size of the blocks in which its cache is counted, in tokens; 0 = not known."""
        if block_tokens:
            self.cache.budget = int(min(MAX_BUDGET, (self.cache_tokens or CACHE_TOKENS) / block_tokens))

    def max_model_len(self, model: str) -> int | None:
        """Return how many tokens the model takes; for an adapter those of its base model.  None = not said."""
        return self.model_lengths.get(model) or self.model_lengths.get(self.endpoint.models[0])

    def _set_endpoint(self) -> None:
        """Set `endpoint`, which routing reads: discovery's description, combined with health and draining."""
        discovered = self._discovered
        ready, draining = discovered.ready and self._healthy, discovered.draining or self._draining
        changed = (discovered.ready, discovered.draining) != (ready, draining)
        self.endpoint = replace(discovered, ready=ready, draining=draining) if changed else discovered

    @property
    def state(self) -> PodState:
        """The pod's state: the first that applies."""
        if self.gone:
            return PodState.GONE
        if self.endpoint.draining:
            return PodState.DRAINING
        if not self._discovered.ready:
            return PodState.NOT_READY
        return PodState.READY if self._healthy else PodState.UNHEALTHY
