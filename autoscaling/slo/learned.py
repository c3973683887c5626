"""All that strategy SLO learns of a target, from one observation to the next.

Lives here: what of an observation teaches what.  Not here: how each thing is learned (the modules beside this one),
the decision (strategy).
"""

import msgspec

from autoscaling.observation import Arrivals, Latency, Observation, PodReading
from autoscaling.slo.concurrency import Concurrency
from autoscaling.slo.demand import SLOT_S, Demand
from autoscaling.slo.flight import Flight
from autoscaling.slo.service import HOPE, Curve, Service
from autoscaling.slo.startup import Startup

TOKENS_OLD = 0.98
"""Weight per observation of the answers before it, in the mean length of answers: about four minutes (chosen)."""
LEAST_ANSWERS = 5.0
"""Answers that a mean length needs."""
TTFT_OLD = 0.9
STEADY = 0.15
"""A sample counts half where running requests changed by this share within a service time: its concurrency is not that
of the latencies."""
MOST_LOADS = 128
"""Observations of running requests that are kept: ten minutes."""


class Learned(msgspec.Struct):
    """A target, as far as it is known."""

    startup: Startup = msgspec.field(default_factory=Startup)
    demand: Demand = msgspec.field(default_factory=Demand)
    service: Service = msgspec.field(default_factory=Service)
    concurrency: Concurrency = msgspec.field(default_factory=Concurrency)
    flight: Flight = msgspec.field(default_factory=Flight)
    began_s: float | None = None
    """Time of the first observation."""
    counted_s: float | None = None
    """Time up to which arrivals are known."""
    running: float = 0.0
    waiting: float = 0.0
    """In all ready pods."""
    ready: int = 0
    loads: list[float] = []
    """Running requests per ready pod, the newest last."""
    tokens: float = 0.0
    answers: float = 0.0
    """Output tokens, and the answers that they are of."""
    ttft_s: float | None = None
    """TTFT without a queue: the part of the service time that prefill is."""

    def observe(self, observation: Observation) -> None:
        """Take over an observation; what it does not tell teaches nothing."""
        if self.began_s is None:
            self.began_s = observation.now_s
        self.startup.observe(observation)
        self.concurrency.observe(observation.pods)
        earlier = (self.running, self.waiting, self.ready)
        self._count(observation.pods, observation.ready)
        arrivals = observation.arrivals
        if arrivals is not None and arrivals.duration_s > 0:
            self._learn_answers(arrivals, *earlier)
            self._learn_demand(arrivals, observation.now_s)
            self._learn_service(observation.latency or Latency(), arrivals, waited=earlier[1] > 0)
        self.flight.match(self.running)

    def _count(self, pods: tuple[PodReading, ...], ready: int) -> None:
        """Count the requests in all pods; those that were not read are taken to have as many as the others."""
        read = [pod for pod in pods if pod.running is not None]
        self.ready = ready
        share = ready / len(read) if read else 0.0
        self.running = share * sum(pod.running or 0.0 for pod in read)
        self.waiting = share * sum(pod.waiting or 0.0 for pod in read)
        if read:
            self.loads = [*self.loads, self.running / ready][-MOST_LOADS:] if ready else self.loads

    def _learn_answers(self, arrivals: Arrivals, running: float, waiting: float, ready: int) -> None:
        """Learn the mean length: what came and is not in the pods has ended, unless pods left with their requests."""
        if arrivals.output_tokens is None or self.ready < ready:
            return
        ended = max(0.0, arrivals.requests - (self.running + self.waiting - running - waiting))
        self.tokens = TOKENS_OLD * self.tokens + arrivals.output_tokens
        self.answers = TOKENS_OLD * self.answers + ended

    def _learn_demand(self, arrivals: Arrivals, now_s: float) -> None:
        """Learn the demand; time of which nothing was told had the same."""
        told_s = arrivals.duration_s
        passed_s = max(told_s, now_s - self.counted_s - SLOT_S / 2 if self.counted_s is not None else 0.0)
        self.demand.observe(arrivals.requests * passed_s / told_s, passed_s)
        self.counted_s = now_s
        curve = self.curve()
        if curve is not None and self.ready:
            self.flight.advance(passed_s / curve.seconds(max(1.0, self.running / self.ready)))
            self.flight.admit(arrivals.requests)

    def _learn_service(self, latency: Latency, arrivals: Arrivals, *, waited: bool) -> None:
        """Learn the service time of the present concurrency."""
        if latency.ttft_mean_s is not None:
            self._learn_ttft(latency.ttft_mean_s, waits=waited or self.waiting > 0)
        if not self.loads or not self.ready:
            return
        seconds = self._service_s(latency, arrivals)
        if not seconds:
            return
        loads = self.loads[-max(1, round(seconds / SLOT_S)) :]
        mean = sum(loads) / len(loads)
        change = (max(loads) - min(loads)) / max(1.0, mean)
        if self.service.observe(mean, seconds / self.output_tokens, 1 / (1 + (change / STEADY) ** 2)):
            self.concurrency.forget()

    def _learn_ttft(self, ttft_s: float, *, waits: bool) -> None:
        if self.ttft_s is None or ttft_s < self.ttft_s:
            self.ttft_s = ttft_s
        elif not waits:
            self.ttft_s = TTFT_OLD * self.ttft_s + (1 - TTFT_OLD) * ttft_s

    def _service_s(self, latency: Latency, arrivals: Arrivals) -> float:
        """Return prefill and decode time or, where latencies are unknown, that of Little's law; 0 = unknown."""
        if latency.itl_mean_s and latency.itl_count and self.answers > LEAST_ANSWERS:
            return latency.itl_mean_s * self.output_tokens + (self.ttft_s or 0.0)
        unknown = latency.itl_mean_s is None and arrivals.output_tokens is None
        return self.running / self.demand.now if unknown and self.demand.now and not self.waiting else 0.0

    @property
    def output_tokens(self) -> float:
        """Mean tokens of an answer, 1 = unknown."""
        return max(1.0, self.tokens / self.answers) if self.answers > LEAST_ANSWERS else 1.0

    def curve(self, *, hopeful: bool = False) -> Curve | None:
        """Return the service times of the present answers; None = unknown."""
        return self.service.curve(self.output_tokens, HOPE if hopeful else 1.0)
