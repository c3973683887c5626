"""Every Prometheus metric of the gateway, with typed methods so that callers know no label order.

Lives here: names, labels, buckets, and the sum over worker processes.  Not here: serving the page
(gateway.observability.http).

Worker processes share by prometheus_client's multiprocess mode: the parent empties a directory and names it in
PROMETHEUS_MULTIPROC_DIR before the workers start.  Each write then costs 0.7 us (a histogram 1.5), ten of them a
request, so counts are added up in plain dicts (0.2 us) and written by `flush`.  `beat` flushes on a timer: a page shows
the other workers as of their last beat, and a killed worker loses what it counted since.
One thread per process: the event loop's.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from routing.types import AND

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

TokenKind = Literal["input", "output", "reserved", "refunded"]

UNKNOWN = "unknown"
"""The label of models and strategies that are not ours: what clients make up must not become series."""

MIXTURE = "mixture"
"""The label of all mixtures of strategies: clients compose them."""

NONE_HEALTHY = "none-healthy"
"""Why a decision fell back: no pod passed its health check, so that all of them were tried."""

BEAT_S = 0.25
"""Time between two flushes; chosen: far below any scrape interval, and 4 flushes a second cost nothing."""

LAG_BEATS = 60
"""`forebay_loop_lag_seconds` is the worst of this many beats: 15 s, Prometheus' usual scrape interval."""

_DECISION_BUCKETS = (1e-05, 3e-05, 1e-04, 3e-04, 0.001, 0.003, 0.01, 0.1)
"""A choice among a few pods takes tens of microseconds; beyond 10 ms the event loop is in trouble."""

_LIMITER_BUCKETS = (0.0003, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""From a local Redis at rest to past the default `redis.timeout_s`."""

_WAIT_BUCKETS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Up to what people promise as the time to the first token."""


class Metrics:
    """The metrics of one process.  `shared` is PROMETHEUS_MULTIPROC_DIR's value, None for a single process."""

    def __init__(self, strategies: Collection[str], shared: Path | None = None) -> None:
        self._shared = shared
        self._registry = CollectorRegistry()
        self._models: dict[str, str] = {}  # name -> label: itself
        self._strategies = {"", *strategies}
        self._lags_s: deque[float] = deque(maxlen=LAG_BEATS)

        self._tallies: list[_Tally | _Distribution] = []
        self._requests = self._counter("requests", "Requests answered.", "model", "strategy", "outcome")
        self._tokens = self._counter("tokens", "Tokens used (input, output), held and given back.", "model", "kind")
        self._refusals = self._counter("refusals", "Requests that the gateway answered itself.", "kind")
        self._fallbacks = self._counter("fallbacks", "Decisions not made as the name says.", "strategy", "reason")
        self._shadows = self._counter(
            "shadow_decisions", "Decisions asked of a second strategy.", "strategy", "shadow", "agrees"
        )
        for strategy in strategies:
            self._fallbacks.add((strategy, NONE_HEALTHY), 0)
        self._errors = self._counter("errors", "Unexpected errors caught at supervision points.", "where")
        self._reloads = self._counter("config_reloads", "Times a changed file was read again.", "outcome")
        self._in_flight = self._level("requests_in_flight", "Requests sent to a pod, end not yet seen.", "model")
        self._reservations = self._level("reservations_open", "Token reservations not yet settled.")
        self._decision = self._histogram("decision_seconds", "Choosing a pod.", _DECISION_BUCKETS)
        self._limiter = self._histogram("limiter_seconds", "Waiting for the limiter's verdict.", _LIMITER_BUCKETS)
        self._wait = self._histogram(
            "wait_seconds", "Waiting in the gateway for a pod, where one had to.", _WAIT_BUCKETS
        )
        self._waiting = self._gauge("requests_waiting", "Requests that wait in the gateway.", "livesum", "model")
        self._redis_up: Gauge | None = None
        self._loop_lag: Gauge | None = None
        self._endpoints = self._gauge("endpoints", "Endpoints by state.", "livemax", "model", "state")
        self._endpoint_keys: set[tuple[str, str]] = set()

    def _counter(self, name: str, about: str, *labels: str) -> "_Tally":
        return self._tally(Counter(f"forebay_{name}", about, labels, registry=self._registry))

    def _level(self, name: str, about: str, *labels: str) -> "_Tally":
        """A gauge that goes up and down by one; the processes add up."""
        return self._tally(self._gauge(name, about, "livesum", *labels))

    def _tally(self, metric: Counter | Gauge) -> "_Tally":
        tally = _Tally(metric)
        self._tallies.append(tally)
        return tally

    def _gauge(self, name: str, about: str, mode: Literal["livesum", "livemin", "livemax"], *labels: str) -> Gauge:
        return Gauge(f"forebay_{name}", about, labels, multiprocess_mode=mode, registry=self._registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...]) -> "_Distribution":
        histogram = Histogram(f"forebay_{name}", about, buckets=buckets, registry=self._registry)
        distribution = _Distribution(histogram, buckets)
        self._tallies.append(distribution)
        return distribution

    def know_models(self, models: Collection[str]) -> None:
        """Allow these model names as labels, for good: a request may outlive its model's configuration."""
        for model in models:
            if model not in self._models:
                self._models[model] = model
                self._in_flight.add((model,), 0)

    def request(self, model: str, strategy: str, outcome: str) -> None:
        """Count an answered request; `outcome` is a constant of the program, `strategy` empty when none was asked."""
        self._requests.add((self._models.get(model, UNKNOWN), self._strategy(strategy), outcome))

    def in_flight(self, model: str, change: Literal[1, -1]) -> None:
        """A request went to a pod of a known model (+1), or ended (-1)."""
        self._in_flight.add((self._models.get(model, UNKNOWN),), change)

    def reservation(self, change: int) -> None:
        """Reservations were made (positive), or settled (negative)."""
        self._reservations.add((), change)

    def tokens(self, model: str, kind: TokenKind, count: int) -> None:
        """Count tokens."""
        self._tokens.add((self._models.get(model, UNKNOWN), kind), count)

    def refusal(self, kind: str) -> None:
        """Count a refusal; `kind` is `RefusalError.kind`."""
        self._refusals.add((kind,))

    def fallback(self, strategy: str, reason: str) -> None:
        """Count a decision that fell back; `reason` is constants of the program joined by AND, each its own series."""
        for each in reason.split(AND):
            self._fallbacks.add((self._strategy(strategy), each))

    def shadowed(self, strategy: str, shadow: str, agrees: bool) -> None:
        """Count a decision that a shadow strategy was asked about too."""
        self._shadows.add((self._strategy(strategy), self._strategy(shadow), str(agrees).lower()))

    def error(self, where: str) -> None:
        """Count an unexpected error at the supervision point `where`."""
        self._errors.add((where,))

    def config_reload(self, outcome: Literal["success", "failure"]) -> None:
        """A changed file was read: taken, or kept out because it is broken."""
        self._reloads.add((outcome,))

    def decided(self, seconds: float) -> None:
        """A strategy chose a pod in this time."""
        self._decision.add(seconds)

    def limiter_answered(self, seconds: float) -> None:
        """The limiter took this long."""
        self._limiter.add(seconds)

    def waited(self, seconds: float) -> None:
        """A request was sent after so long."""
        self._wait.add(seconds)

    def waiting(self, counts: Mapping[str, int]) -> None:
        """So many wait now, by model that anybody waited for."""
        for model, count in counts.items():
            self._waiting.labels(self._models.get(model, UNKNOWN)).set(count)

    def redis(self, up: bool) -> None:
        """Redis answered, or did not."""
        if self._redis_up is None:  # made when first reported: who does not talk to Redis must not say 0 (lowest wins)
            self._redis_up = self._gauge("redis_up", "Whether Redis answers.", "livemin")
        self._redis_up.set(up)

    def endpoints(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Endpoints by (model, state): the whole set; what is not mentioned any more becomes 0."""
        self._endpoint_keys |= counts.keys()
        for model, state in self._endpoint_keys:
            self._endpoints.labels(model, state).set(counts.get((model, state), 0))

    async def beat(self) -> None:
        """Flush and measure the event loop's lag, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due_s = clock() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._lags_s.append(max(0.0, clock() - due_s))
            if self._loop_lag is None:
                about = f"Worst delay of the event loop in {LAG_BEATS * BEAT_S:.0f} s."
                self._loop_lag = self._gauge("loop_lag_seconds", about, "livemax")
            self._loop_lag.set(max(self._lags_s))
            self.flush()

    def flush(self) -> None:
        """Write what was counted since the last time, for other processes to see."""
        for tally in self._tallies:
            tally.flush()

    def render(self) -> bytes:
        """The page, as CONTENT_TYPE: summed over all processes when they share a directory."""
        self.flush()
        if self._shared is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, path=str(self._shared))  # type: ignore[no-untyped-call]  # the library's multiprocess part is untyped
        return generate_latest(together)

    def _strategy(self, strategy: str) -> str:
        if strategy in self._strategies:
            return strategy
        return MIXTURE if "," in strategy or ":" in strategy else UNKNOWN


class _Tally:
    """Changes of one counter or gauge, by label values, that are not yet written."""

    def __init__(self, metric: Counter | Gauge) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], Counter | Gauge] = {}
        self._pending: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], amount: float = 1) -> None:
        self._pending[labels] = self._pending.get(labels, 0) + amount

    def flush(self) -> None:
        for labels, amount in self._pending.items():
            child = self._children.get(labels)
            if child is None:
                child = self._children[labels] = self._metric.labels(*labels) if labels else self._metric
            child.inc(amount)
        self._pending.clear()


class _Distribution:
    """Observations of one histogram that are not yet written."""

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Write sums instead of single observations, for which the library has no public call."""
        for bucket, count in enumerate(self._counts):
            if count:
                self._histogram._buckets[bucket].inc(count)
        self._histogram._sum.inc(self._sum)
        self._counts = [0] * len(self._counts)
        self._sum = 0.0


def forget_process(pid: int, shared: Path) -> None:
    """Stop counting the gauges of a worker that died; its counters stay.  For the parent to call."""
    mark_process_dead(pid, path=str(shared))  # type: ignore[no-untyped-call]  # the library's multiprocess part is untyped
