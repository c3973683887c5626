"""External metrics: what gateways, their traffic and the optimizer say of models.

Lives here: the metrics, where each comes from, what becomes of several gateways.  Not here: pages (the autoscaler's
sources), the JSON (answers).  A value of which one gateway's part is missing is missing: a part would look like less
load.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from autoscaling.exposition import Exposition
from controllers.metricsapi.answers import MissingError, Value
from controllers.podautoscaler.objects import PODS
from controllers.podautoscaler.sources.pages import Pages, SourceError
from kube.client import Client, Selection
from kube.errors import ApiError
from routing.selectors import Selector
from traffic.connection import RedisAwayError
from traffic.store import TraceStore
from traffic.window import WINDOW_S, Window

ARRIVAL_RATE = "forebay_arrival_rate"
"""Requests per second in the last minute, whether they were served or not."""
OPTIMIZER_REPLICAS = "forebay_optimizer_replicas"
"""Replicas that the optimizer publishes, of the deployments in the namespace that is asked for."""
OF_GATEWAYS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "forebay_requests_waiting": sum,
    "forebay_requests_in_flight": sum,
    "forebay_tokens_in_flight": sum,
    "forebay_predicted_ttft_ratio": max,
}
"""Gauges of gateways (docs/operations.md), and what several gateways' make together."""
METRICS = (ARRIVAL_RATE, *OF_GATEWAYS, OPTIMIZER_REPLICAS)

RATE_S = 60.0
"""The rate is the mean of so many seconds (chosen: six windows; an HPA looks every 15 s)."""
LATE_S = 30.0
"""Windows that ended longer ago say nothing of now: a window is 10 s long and complete 2 s after its end (chosen)."""
PAGE_S, MODELS_S = 1.0, 10.0
"""Seconds for which pages, and the names of models with traffic, serve several questions (chosen)."""

T = TypeVar("T")


class Places(NamedTuple):
    """The places where gateways and the optimizer are."""

    namespace: str
    gateways: str
    """Label selector of the gateways' pods."""
    port: int
    """Port of their pages."""
    optimizer: str
    """URL of the optimizer."""


class _Recent(Generic[T]):
    """A value that is asked for anew when it is older than `lasts_s`; whoever asks meanwhile waits for the same."""

    def __init__(self, ask: Callable[[], Awaitable[T]], lasts_s: float) -> None:
        self._ask, self._lasts_s = ask, lasts_s
        self._turn = asyncio.Lock()
        self._known: tuple[float, T] | None = None

    async def get(self) -> T:
        """Return the value.  Raises what asking raises."""
        async with self._turn:
            now_s = asyncio.get_running_loop().time()
            if self._known is None or now_s - self._known[0] > self._lasts_s:
                self._known = now_s, await self._ask()
            return self._known[1]


class ExternalMetrics:
    """Reads the metrics of METRICS."""

    def __init__(self, client: Client, pages: Pages, traces: TraceStore, places: Places) -> None:
        self._client, self._pages, self._traces, self._places = client, pages, traces, places
        self._gateways = _Recent(self._ask_gateways, PAGE_S)
        self._optimizer = _Recent(self._ask_optimizer, PAGE_S)
        self._models = _Recent(traces.models, MODELS_S)

    async def read(self, metric: str, namespace: str, selector: Selector) -> Sequence[Value]:
        """Return the values with matching labels.  Raises MissingError where there is none, or one cannot be known."""
        try:
            values = await self._read(metric, namespace, selector)
        except (SourceError, RedisAwayError, ApiError) as error:
            raise MissingError(f"{metric}: {error}") from error
        found = [one for one in values if selector.matches(one.labels)]
        if not found:
            raise MissingError(f"{metric} has no value with these labels in namespace {namespace}")
        return found

    async def _read(self, metric: str, namespace: str, selector: Selector) -> Sequence[Value]:
        if metric == ARRIVAL_RATE:
            models = [model for model in await self._models.get() if selector.matches(_labels(model))]
            rates = await asyncio.gather(*map(self._rate, models))
            return [Value(_labels(model), rate) for model, rate in zip(models, rates, strict=True) if rate is not None]
        if metric == OPTIMIZER_REPLICAS:
            published = (await self._optimizer.get()).series(OPTIMIZER_REPLICAS)
            return [
                Value(_labels(one.labels.get("model", ""), deployment=one.labels.get("deployment", "")), one.value)
                for one in published
                if one.labels.get("namespace") == namespace
            ]
        if metric in OF_GATEWAYS:
            return _joined(metric, await self._gateways.get())
        raise MissingError(f"there is no metric {metric}; there are {', '.join(METRICS)}")

    async def _rate(self, model: str) -> float | None:
        windows, now_s = await self._traces.read(model), await self._traces.now_s()
        return rate(windows, now_s)

    async def _ask_gateways(self) -> Sequence[Exposition]:
        pods, _ = await self._client.list(PODS, Selection(self._places.namespace, self._places.gateways))
        ready = [pod.status.pod_ip for pod in pods if pod.is_serving]
        if not ready:
            raise SourceError(f"no pod with labels {self._places.gateways} is ready in {self._places.namespace}")
        addresses = [f"http://{f'[{ip}]' if ':' in ip else ip}:{self._places.port}/metrics" for ip in ready]
        return await asyncio.gather(*map(self._pages.of_pod, addresses))

    async def _ask_optimizer(self) -> Exposition:
        return await self._pages.of_server(f"{self._places.optimizer}/metrics")


def rate(windows: Sequence[Window], now_s: float) -> float | None:
    """Return the requests per second of the last RATE_S; None where the last window is older than LATE_S."""
    recent = [window for window in windows if window.starts_at_s >= now_s - RATE_S - WINDOW_S - LATE_S]
    if not recent or now_s - recent[-1].starts_at_s - recent[-1].duration_s > LATE_S:
        return None
    last = [window for window in recent if window.starts_at_s > recent[-1].starts_at_s - RATE_S]
    return sum(window.arrivals for window in last) / sum(window.duration_s for window in last)


def _joined(metric: str, pages: Sequence[Exposition]) -> Sequence[Value]:
    """Return what the gateways say together of each model."""
    values: dict[str, list[float]] = {}
    for page in pages:
        for one in page.series(metric):
            values.setdefault(one.labels.get("model", ""), []).append(one.value)
    return [Value(_labels(model), OF_GATEWAYS[metric](told)) for model, told in values.items()]


def _labels(model: str, **more: str) -> dict[str, str]:
    """Return the labels of a value.  Selectors take no slash: in the label `model` everything that a label may not hold
    is an underscore, and at its ends nothing.
    """
    return {"model": re.sub(r"[^A-Za-z0-9._-]", "_", model)[:63].strip("._-"), **more}
