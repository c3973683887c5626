"""A pod as the gateway accounts for it: what discovery says, what health checks say, what is in flight.

Lives here: one pod's state.  Not here: which pods there are and who may change them (gateway.fleet.fleet).
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from math import inf

from gateway.discovery.probing.readings import NOTHING, Readings
from routing.pods.load import Load
from routing.pods.speed import Speed
from routing.prefix.index import Cache
from routing.types import Endpoint, PodId, Signal

RAMP_S = 30.0
"""A pod that came later than the others gets its full share after this: engines compile and warm up (chosen)."""
MAX_RAMP = 10.0
"""At first its work counts as this many times as long (Envoy's slow start has the same default)."""

WARM_S = 10.0
"""An adapter that was asked for so long ago is believed to be still in the batch (chosen: a long answer)."""

MIN_EJECTION_S = 1.0
MAX_EJECTION_S = 30.0
"""A pod that failed a request gets none for so long, twice as long after each more, then one at a time until it answers
one (chosen: a restart takes longer than the first, and a pod that came back must not wait for minutes)."""
OUTCOME_DELAY_S = 0.5
"""A request's end is known before what became of it, by a flush of the access log: until then the next one waits too
(chosen: ten flushes)."""

PodIdentity = tuple[PodId, str, float | None]
"""Another address or start time makes another pod, whatever its name: its predecessor's requests are not its own."""


class PodState(StrEnum):
    """Why a pod does or does not take requests; the label `state` of `forebay_endpoints`."""

    READY = "ready"
    NOT_READY = "not-ready"  # says discovery
    UNHEALTHY = "unhealthy"  # says the health check
    DRAINING = "draining"
    GONE = "gone"  # no longer discovered; requests are still in flight


def pod_identity(endpoint: Endpoint) -> PodIdentity:
    """Return what makes two descriptions mean the same pod."""
    return (endpoint.id, endpoint.address, endpoint.started_at)


class Pod(Load):
    """Satisfies `routing.types.PodView`.  Only the fleet changes it."""

    __slots__ = (
        "_described",
        "_draining",
        "_fresh_until_s",
        "_healthy",
        "_readings",
        "_ready_s",
        "_signals",
        "cache",
        "endpoint",
        "failures",
        "gone",
        "last_used_s",
        "ramped_s",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, cache: Cache, joined_s: float = -inf, kind: Speed | None = None) -> None:
        super().__init__(kind)
        self.reset(endpoint, cache, joined_s)

    def reset(self, endpoint: Endpoint, cache: Cache, joined_s: float = -inf) -> None:
        """Take over what discovery says and forget health: for a pod that is new or was gone."""
        self.cache = cache
        self.gone = False
        self.failures = 0  # in a row, those of one moment counted once
        self._ready_s = -inf  # when it may be tried again, or came back
        self.ramped_s = joined_s + RAMP_S
        self._readings = NOTHING
        self.forget_sums()
        self.last_used_s: dict[str, float] = {}  # adapter -> when it was asked for last
        self._signals: Mapping[Signal, float] = {}
        self._fresh_until_s = -inf
        self._healthy = True  # a restart of the gateway must not be an outage until every engine was checked
        self._draining = False
        self.update(endpoint)

    def update(self, endpoint: Endpoint) -> None:
        """Take over what discovery says now; health stays."""
        self._described = endpoint
        self._combine()

    def set_health(self, healthy: bool) -> bool:
        """Return whether this changed anything."""
        changed = self._healthy != healthy
        self._healthy = healthy
        self._combine()
        return changed

    def set_draining(self, draining: bool) -> bool:
        """Return whether this changed anything."""
        changed = self._draining != draining
        self._draining = draining
        self._combine()
        return changed

    def apply_readings(self, readings: Readings, now_s: float, fresh_until_s: float) -> None:
        """Take over what the engine says of itself.  One that has restarted holds nothing any more."""
        if readings.restarted_since(self._readings):
            self.cache.clear()
            self.forget_sums()
        self.observe(readings.sums, now_s, fresh_until_s)
        self._readings = readings
        self._signals = {signal: value for signal, value in readings.signals.items() if 0 <= value < inf}
        self._fresh_until_s = fresh_until_s

    def record_outcome(self, failed: bool, sent_s: float, now_s: float) -> None:
        """A request came back.  If it was sent before the pod was set aside, or came back, its failure is no news."""
        if not failed:
            self.failures, self._ready_s = 0, now_s
        elif sent_s >= self._ready_s:
            self.failures += 1
            self._ready_s = now_s + min(MIN_EJECTION_S * 2 ** (self.failures - 1), MAX_EJECTION_S)

    def is_ejected(self, now_s: float) -> bool:
        """Whether it failed and may not be tried now."""
        if not self.failures:
            return False
        return now_s < self._ready_s or self.in_flight > 0 or now_s - self._busy_seen_s < OUTCOME_DELAY_S

    def ramp(self, now_s: float) -> float:
        """See `PodView.ramp`."""
        age_s = now_s - self.ramped_s + RAMP_S
        return min(MAX_RAMP, RAMP_S / max(age_s, 1.0)) if age_s < RAMP_S else 1.0

    def is_warm(self, model: str, now_s: float) -> bool:
        """See `PodView.is_warm`: as the engine says, or as the gateway itself has just sent."""
        if model == self.endpoint.models[0] or model in self._readings.adapters:
            return True
        return now_s - self.last_used_s.get(model, -inf) < WARM_S

    def signal(self, signal: Signal, now_s: float) -> float | None:
        """See `PodView.signal`."""
        return self._signals.get(signal) if now_s <= self._fresh_until_s else None

    @property
    def cache_tokens(self) -> float | None:
        """How many tokens its cache has room for; it does not get stale."""
        return self._readings.cache_tokens

    def _combine(self) -> None:
        """Set `endpoint`, all that routing reads: what discovery and the gateway say about it together."""
        said = self._described
        ready, draining = said.ready and self._healthy, said.draining or self._draining
        changed = (said.ready, said.draining) != (ready, draining)
        self.endpoint = replace(said, ready=ready, draining=draining) if changed else said

    @property
    def state(self) -> PodState:
        """The first reason that applies."""
        if self.gone:
            return PodState.GONE
        if self.endpoint.draining:
            return PodState.DRAINING
        if not self._described.ready:
            return PodState.NOT_READY
        return PodState.READY if self._healthy else PodState.UNHEALTHY
