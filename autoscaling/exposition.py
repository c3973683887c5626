"""Metrics of a page in Prometheus' text format, found by the names that people write.

Lives here: which names mean the same, what becomes of several series.  Not here: asking for a page
(controllers.podautoscaler.sources, runtime), the gateway's own reading of engines, which is made for speed
(gateway.discovery.probing.engine_metrics).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

PREFIXES = ("", "vllm:", "sglang:", "aibrix:")
"""Prefixes that a name may lack or have too much, in the order in which they are tried."""
KV_USAGE, RUNNING, WAITING = "kv_cache_usage_perc", "num_requests_running", "num_requests_waiting"
TTFT, ITL = "time_to_first_token_seconds", "inter_token_latency_seconds"
ALIASES = (
    (KV_USAGE, "gpu_cache_usage_perc", "token_usage", "trtllm_kv_cache_utilization"),
    (RUNNING, "num_running_reqs"),
    (WAITING, "num_queue_reqs", "queue_size"),
    (TTFT, "trtllm_time_to_first_token_seconds"),
    (ITL, "time_per_output_token_seconds", "time_per_output_token", "trtllm_time_per_output_token_seconds"),
)
"""Names of the same metric: vLLM renamed some, other engines have theirs."""
RATIO_ENDINGS = ("_perc", "_ratio")
RATIOS = frozenset({"token_usage", "kv_usage", "kv_cache_utilization", "trtllm_kv_cache_utilization", "cache_hit_rate"})
"""Metrics in [0, 1] besides those with such endings; SGLang's, TensorRT-LLM's and ours among them."""
STARTED = "process_start_time_seconds"

_UNREAD = re.compile(rb"^(?:#|[\w:]+_(?:bucket|created)[{ ]).*(?:\n|\Z)", re.MULTILINE)
"""The lines that nobody reads: most of an engine's page, which costs 2 ms without them, 26 with them."""


class NoExpositionError(ValueError):
    """The page is none of metrics; the message says what it looks like."""


class Total(NamedTuple):
    """All observations of a histogram since its process started."""

    amount: float
    """Sum of the observed values."""
    number: float
    """Count of observations."""


class Series(NamedTuple):
    """One series of a metric."""

    labels: Mapping[str, str]
    value: float


class Exposition:
    """The metrics of one process, by name."""

    def __init__(self, series: Mapping[str, list[Series]]) -> None:
        self._series = series

    def series(self, name: str) -> Sequence[Series]:
        """Return the series of exactly this name whose values are numbers."""
        return [one for one in self._series.get(name, ()) if isfinite(one.value)]

    def value(self, metric: str) -> float | None:
        """Return the value of the first name of the metric that is on the page; None = it is not there, or no number.

        Several series are added up; those of a ratio are averaged.
        """
        return next((self._one(name) for name in names_of(metric) if name in self._series), None)

    def total(self, metric: str) -> Total | None:
        """Return sum and count of the first name of the histogram that is on the page."""
        for name in names_of(metric):
            amount, number = self._one(f"{name}_sum"), self._one(f"{name}_count")
            if amount is not None and number is not None:
                return Total(amount, number)
        return None

    def _one(self, name: str) -> float | None:
        values = [one.value for one in self._series.get(name, ())]
        if not values or not all(map(isfinite, values)):
            return None
        return sum(values) / (len(values) if is_ratio(name) else 1)


def is_ratio(metric: str) -> bool:
    """Tell whether a metric is reported in [0, 1]; prefixes of engines do not count."""
    name = metric.rpartition(":")[2]
    return name.endswith(RATIO_ENDINGS) or name in RATIOS


def parse(page: bytes) -> Exposition:
    """Return the metrics of the page.  Raises NoExpositionError."""
    if page.lstrip()[:1] == b"<":
        raise NoExpositionError("the page is HTML, not metrics")
    text = _UNREAD.sub(b"", page).decode(errors="replace")
    series: dict[str, list[Series]] = {}
    try:
        for name, one in _samples(text_string_to_metric_families(text)):
            series.setdefault(name, []).append(one)
    except (ValueError, LookupError) as error:
        raise NoExpositionError("the page is not of metrics") from error
    return Exposition(series)


def _samples(families: Iterable[Metric]) -> Iterator[tuple[str, Series]]:
    """Yield names and series, without quantiles: they do not add up."""
    for family in families:
        for sample in family.samples:
            if "quantile" not in sample.labels:
                yield sample.name, Series(sample.labels, sample.value)


@lru_cache(maxsize=1024)
def names_of(metric: str) -> tuple[str, ...]:
    """Return the names that a metric may have on a page, the likeliest first.

    As it is written, then with other prefixes, then its aliases; each with and without the `_total` of counters, which
    parsers take off the names of families.
    """
    own = next((prefix for prefix in PREFIXES[1:] if metric.startswith(prefix)), "")
    word = metric.removeprefix(own)
    bare = word.removesuffix("_total")
    others = next((group for group in ALIASES if word in group), ())
    words = dict.fromkeys((word, f"{bare}_total", bare, *others))
    prefixes = dict.fromkeys((own, *PREFIXES))
    return tuple(f"{prefix}{name}" for name in words for prefix in prefixes)
