"""Every Prometheus metric of the gateway, behind methods that spare callers the order of labels.

Lives here: names, labels, buckets, and the sum over worker processes.  Not here: serving the page
(gateway.observability.http).

Worker processes share metrics by prometheus_client's multiprocess mode: the parent empties a directory and names it in
PROMETHEUS_MULTIPROC_DIR before the workers start.  There a write costs 0.7 us (to a histogram 1.5 us), and a request
makes ten.  So changes are added up in plain dicts (0.2 us) and written by `flush`, which `run` calls on a timer: a page
shows the other workers as of their last flush, and a worker that is killed loses what it counted since.
Not thread-safe: one event loop per process uses it.
"""

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Literal

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from routing.types import AND

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

TokenKind = Literal["input", "output", "reserved", "refunded"]

UNKNOWN = "unknown"
"""The label of models and strategies that are not configured: names that clients invent must not become series."""

MIXTURE = "mixture"
"""The label of all mixtures of strategies: clients compose them freely, so each would be a series of its own."""

NONE_HEALTHY = "none-healthy"
"""The fallback reason of a decision for which no pod passed its health check, so that unhealthy ones were tried."""

FLUSH_S = 0.25
"""Interval of flushes, in seconds.  Chosen: far below any scrape interval, and 4 flushes a second cost nothing."""

LAG_SAMPLES = 60
"""`forebay_loop_lag_seconds` is the maximum of this many flush intervals: 15 s, Prometheus' usual scrape interval."""

_DECISION_BUCKETS = (1e-05, 3e-05, 1e-04, 3e-04, 0.001, 0.003, 0.01, 0.1)
"""Seconds.  A choice among a few pods takes tens of microseconds; beyond 10 ms the event loop is in trouble."""

_LIMITER_BUCKETS = (0.0003, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds, from an idle local Redis to more than the default `redis.timeout_s`."""

_WAIT_BUCKETS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Seconds, up to the longest times to first token that operators promise."""

_SHARING_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds, from an idle local Redis to half a replica's lease."""


class Metrics:
    """The metrics of one process.  `shared` is PROMETHEUS_MULTIPROC_DIR's value, None for a single process."""

    def __init__(self, strategies: Collection[str], shared: Path | None = None) -> None:
        self._shared = shared
        self._registry = CollectorRegistry()
        self._models: dict[str, str] = {}  # name -> label, which is the name itself
        self._strategies = {"", *strategies}
        self._lags_s: deque[float] = deque(maxlen=LAG_SAMPLES)
        self._shown: dict[tuple[Gauge, tuple[str, ...]], float] = {}

        self._buffers: list[_BufferedCounter | _BufferedHistogram] = []
        self._requests = self._counter("requests", "Requests answered.", "model", "strategy", "outcome")
        self._tokens = self._counter("tokens", "Tokens used (input, output), reserved, and refunded.", "model", "kind")
        self._refusals = self._counter("refusals", "Requests that the gateway answered itself.", "kind")
        self._fallbacks = self._counter(
            "fallbacks", "Decisions in which something stood in for what the strategy needs.", "strategy", "reason"
        )
        self._shadows = self._counter(
            "shadow_decisions", "Decisions that a shadow strategy made too.", "strategy", "shadow", "agrees"
        )
        for strategy in strategies:
            self._fallbacks.add((strategy, NONE_HEALTHY), 0)
        self._errors = self._counter("errors", "Unexpected errors caught at supervision points.", "where")
        self._reloads = self._counter("config_reloads", "Reloads of a changed models_file.", "outcome")
        self._in_flight = self._up_down_gauge(
            "requests_in_flight", "Requests sent to a pod that have not ended.", "model"
        )
        self._reservations = self._up_down_gauge("reservations_open", "Token reservations not yet settled.")
        self._decision = self._histogram("decision_seconds", "Time to choose a pod.", _DECISION_BUCKETS)
        self._limiter = self._histogram("limiter_seconds", "Time to the limiter's verdict.", _LIMITER_BUCKETS)
        self._wait = self._histogram(
            "wait_seconds", "Time in the admission queue, of requests that had to wait.", _WAIT_BUCKETS
        )
        self._waiting = self._gauge("requests_waiting", "Requests in the admission queue.", "livesum", "model")
        self._tokens_in_flight = self._gauge(
            "tokens_in_flight", "Prompt and expected output tokens of requests in flight.", "livesum", "model"
        )
        self._ttft_ratio = self._gauge(
            "predicted_ttft_ratio", "Predicted time to the first token, of what is promised.", "livemax", "model"
        )
        self._shared_messages = self._counter("sharing_messages", "Messages among replicas.", "direction")
        self._shared_bytes = self._counter("sharing_bytes", "Bytes of messages among replicas.", "direction")
        self._refused_messages = self._counter(
            "sharing_refused_messages", "Messages that are not ours, or of another format.", "kind"
        )
        self._sharing_delay = self._histogram(
            "sharing_delay_seconds", "Time of a message through Redis.", _SHARING_BUCKETS
        )
        self._traffic = self._counter("traffic_reports", "Windows of a model's traffic, for planners.", "outcome")
        self._replicas: Gauge | None = None
        self._sharing_up: Gauge | None = None
        self._redis_up: Gauge | None = None
        self._loop_lag: Gauge | None = None
        self._endpoints = self._gauge("endpoints", "Endpoints by state.", "livemax", "model", "state")
        self._endpoint_keys: set[tuple[str, str]] = set()
        self._followed = self._gauge("kubernetes_followed", "1 if the set is the API server's.", "livemin", "kind")
        self._behind = self._gauge(
            "kubernetes_behind_seconds", "Time since the set was last the API server's.", "livemax", "kind"
        )

        self._add_pools()

    def _add_pools(self) -> None:
        self._pool_requests = self._counter("pool_requests", "Requests answered.", "model", "pool", "outcome")
        self._pool_tokens = self._counter("pool_tokens", "Tokens used.", "model", "pool", "kind")
        self._pool_cost = self._counter("pool_cost", "Price of the tokens used, by the pool's prices.", "model", "pool")
        self._pool_hourly = self._gauge("pool_cost_per_hour", "Price per hour of all replicas.", "livemax", "pool")

    def _counter(self, name: str, help_text: str, *labels: str) -> "_BufferedCounter":
        return self._buffered(Counter(f"forebay_{name}", help_text, labels, registry=self._registry))

    def _up_down_gauge(self, name: str, help_text: str, *labels: str) -> "_BufferedCounter":
        """Return a gauge that is changed by differences, not set; the processes' values are summed."""
        return self._buffered(self._gauge(name, help_text, "livesum", *labels))

    def _buffered(self, metric: Counter | Gauge) -> "_BufferedCounter":
        buffer = _BufferedCounter(metric)
        self._buffers.append(buffer)
        return buffer

    def _gauge(self, name: str, help_text: str, mode: Literal["livesum", "livemin", "livemax"], *labels: str) -> Gauge:
        return Gauge(f"forebay_{name}", help_text, labels, multiprocess_mode=mode, registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> "_BufferedHistogram":
        histogram = Histogram(f"forebay_{name}", help_text, buckets=buckets, registry=self._registry)
        buffer = _BufferedHistogram(histogram, buckets)
        self._buffers.append(buffer)
        return buffer

    def add_models(self, models: Collection[str]) -> None:
        """Allow these model names as labels, for good: a request may outlive its model's configuration."""
        for model in models:
            if model not in self._models:
                self._models[model] = model
                self._in_flight.add((model,), 0)

    def count_request(self, model: str, strategy: str, outcome: str) -> None:
        """Count an answered request; `outcome` is one of our constants, `strategy` empty where none was used."""
        self._requests.add((self._models.get(model, UNKNOWN), self._strategy(strategy), outcome))

    def add_in_flight(self, model: str, change: Literal[1, -1]) -> None:
        """Add a request that went to a pod (+1) or ended (-1)."""
        self._in_flight.add((self._models.get(model, UNKNOWN),), change)

    def add_reservations(self, change: int) -> None:
        """Add reservations that were made (positive) or settled (negative)."""
        self._reservations.add((), change)

    def count_tokens(self, model: str, kind: TokenKind, count: int) -> None:
        """Count tokens of a kind."""
        self._tokens.add((self._models.get(model, UNKNOWN), kind), count)

    def count_in_pool(self, model: str, pool: str, outcome: str, tokens: Mapping[str, int], cost: float) -> None:
        """Count a request that a pod in a pool answered: its outcome, its tokens by kind, and their price."""
        labels = self._models.get(model, UNKNOWN), pool
        self._pool_requests.add((*labels, outcome))
        for kind, count in tokens.items():
            self._pool_tokens.add((*labels, kind), count)
        self._pool_cost.add(labels, cost)

    def set_pool_costs(self, costs: Mapping[str, float]) -> None:
        """Set the price per hour of each pool's replicas."""
        for pool, cost in costs.items():
            self._pool_hourly.labels(pool).set(cost)

    def count_refusal(self, kind: str) -> None:
        """Count a refusal; `kind` is `RefusalError.kind`."""
        self._refusals.add((kind,))

    def count_fallback(self, strategy: str, reason: str) -> None:
        """Count a decision that fell back; `reason` is some of our constants joined by AND, each counted on its own."""
        for each in reason.split(AND):
            self._fallbacks.add((self._strategy(strategy), each))

    def count_shadow_decision(self, strategy: str, shadow: str, agrees: bool) -> None:
        """Count a decision that the shadow strategy made too; `agrees` says whether it chose the same pod."""
        self._shadows.add((self._strategy(strategy), self._strategy(shadow), str(agrees).lower()))

    def count_error(self, where: str) -> None:
        """Count an unexpected error at the supervision point `where`."""
        self._errors.add((where,))

    def count_config_reload(self, outcome: Literal["success", "failure"]) -> None:
        """Count a reload of a changed file; "failure" means it is broken and the last good version stays."""
        self._reloads.add((outcome,))

    def observe_decision(self, seconds: float) -> None:
        """Record how long a strategy took to choose a pod."""
        self._decision.add(seconds)

    def observe_limiter(self, seconds: float) -> None:
        """Record how long the limiter took to answer."""
        self._limiter.add(seconds)

    def observe_wait(self, seconds: float) -> None:
        """Record how long a request was in the admission queue before it was sent."""
        self._wait.add(seconds)

    def set_waiting(self, counts: Mapping[str, int]) -> None:
        """Set the number of requests in the admission queue, by model, zeros included."""
        for model, count in counts.items():
            self._show(self._waiting, (self._models.get(model, UNKNOWN),), count)

    def set_loads(self, loads: Mapping[str, tuple[float, float]]) -> None:
        """Set tokens in flight and the predicted TTFT over the promised one (NaN = none), by model."""
        for model, (tokens, ttft_ratio) in loads.items():
            labels = (self._models.get(model, UNKNOWN),)
            self._show(self._tokens_in_flight, labels, tokens)
            self._show(self._ttft_ratio, labels, ttft_ratio)

    def _show(self, gauge: Gauge, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge where it changed: setting it takes 20 times as long as this look."""
        shown = self._shown.get((gauge, labels))
        if shown is None or (shown != value and not (isnan(shown) and isnan(value))):
            self._shown[gauge, labels] = value
            gauge.labels(*labels).set(value)

    def set_redis_up(self, up: bool) -> None:
        """Set whether Redis answers."""
        # Made at the first report: the lowest of all processes is shown, and one that uses no Redis must not say 0.
        if self._redis_up is None:
            self._redis_up = self._gauge("redis_up", "Whether Redis answers.", "livemin")
        self._redis_up.set(up)

    def set_sharing(self, replicas: int, up: bool) -> None:
        """Set how many replicas there are as this one sees it, itself included, and whether it hears itself."""
        if self._replicas is None or self._sharing_up is None:  # made late for the reason of `redis_up`
            self._replicas = self._gauge("replicas", "Replicas that share, by the one that sees fewest.", "livemin")
            self._sharing_up = self._gauge("sharing_up", "Whether replicas hear each other.", "livemin")
        self._replicas.set(replicas)
        self._sharing_up.set(up)

    def count_shared(self, direction: Literal["sent", "received"], size: int) -> None:
        """Count a message among replicas of `size` bytes."""
        self._shared_messages.add((direction,))
        self._shared_bytes.add((direction,), size)

    def count_refused_message(self, kind: str) -> None:
        """Count a message that was ignored; `kind` is one of our constants."""
        self._refused_messages.add((kind,))

    def observe_sharing_delay(self, seconds: float) -> None:
        """Record how long a message took through Redis back to its sender."""
        self._sharing_delay.add(seconds)

    def count_traffic_reports(self, outcome: Literal["written", "dropped"], count: int = 1) -> None:
        """Count windows of models' traffic that Redis took, or that it did not take in time."""
        self._traffic.add((outcome,), count)

    def set_endpoints(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Set the number of endpoints by (model, state); pairs that are missing from `counts` become 0."""
        self._endpoint_keys |= counts.keys()
        for model, state in self._endpoint_keys:
            self._show(self._endpoints, (model, state), counts.get((model, state), 0))

    def set_followed(self, behind_s: Mapping[str, float]) -> None:
        """Set for how long each set of Kubernetes objects has not been the API server's, by kind."""
        for kind, seconds in behind_s.items():
            self._followed.labels(kind).set(seconds == 0)
            self._behind.labels(kind).set(seconds)

    async def run(self) -> None:
        """Flush, and measure the event loop's lag, every FLUSH_S until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due_s = clock() + FLUSH_S
            await asyncio.sleep(FLUSH_S)
            self._lags_s.append(max(0.0, clock() - due_s))
            if self._loop_lag is None:
                help_text = f"Maximum lag of the event loop in {LAG_SAMPLES * FLUSH_S:.0f} s."
                self._loop_lag = self._gauge("loop_lag_seconds", help_text, "livemax")
            self._loop_lag.set(max(self._lags_s))
            self.flush()

    def flush(self) -> None:
        """Write the changes since the last flush, for other processes to see."""
        for buffer in self._buffers:
            buffer.flush()

    async def page(self) -> bytes:
        """Return the page like `render`, written in a thread: one of 1,000 models takes 70 ms at least."""
        self.flush()
        return await asyncio.to_thread(self._written)

    def render(self) -> bytes:
        """Return the page in the format CONTENT_TYPE, summed over all processes that share a directory."""
        self.flush()
        return self._written()

    def _written(self) -> bytes:
        if self._shared is None:
            return generate_latest(self._registry)
        all_processes = CollectorRegistry()
        MultiProcessCollector(all_processes, path=str(self._shared))  # type: ignore[no-untyped-call]  # the library's multiprocess part is untyped
        return generate_latest(all_processes)

    def _strategy(self, strategy: str) -> str:
        if strategy in self._strategies:
            return strategy
        return MIXTURE if "," in strategy or ":" in strategy else UNKNOWN


class _BufferedCounter:
    """A counter or gauge whose changes, by label values, are kept until they are flushed."""

    def __init__(self, metric: Counter | Gauge) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], Counter | Gauge] = {}
        self._pending: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def add(self, labels: tuple[str, ...], amount: float = 1) -> None:
        self._pending[labels] += amount

    def flush(self) -> None:
        for labels, amount in self._pending.items():
            child = self._children.get(labels)
            if child is None:
                child = self._children[labels] = self._metric.labels(*labels) if labels else self._metric
            child.inc(amount)
        self._pending.clear()


class _BufferedHistogram:
    """A histogram whose observations are kept, by bucket, until they are flushed."""

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Add whole buckets to the histogram, for which the library has no public method."""
        for bucket, count in enumerate(self._counts):
            if count:
                self._histogram._buckets[bucket].inc(count)
        self._histogram._sum.inc(self._sum)
        self._counts = [0] * len(self._counts)
        self._sum = 0.0


def forget_process(pid: int, shared: Path) -> None:
    """Drop the gauges of a worker that died, called by the parent; its counters stay in the sum."""
    mark_process_dead(pid, path=str(shared))  # type: ignore[no-untyped-call]  # the library's multiprocess part is untyped
