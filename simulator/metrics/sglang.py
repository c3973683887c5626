"""/metrics of one engine, under SGLang's names (from its page "Production Metrics").

Lives here: the exposition.  Not here: the figures (state), vLLM's names (vllm).
Buckets are vLLM's: a reader of histograms must accept any buckets.  Tokens are counted when a request has finished
(SGLang's `observe_one_finished_request`).
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from simulator.metrics.state import EngineState


class SglangMetrics(Collector):
    """The metrics of one engine."""

    def __init__(self, state: EngineState) -> None:
        self.now_s = state.started_at  # set before each scrape, as with VllmMetrics; no metric here needs it
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield all families (the registry calls this)."""
        state, model = self._state, self._state.model
        labels = {"model_name": state.profile.model}
        names, values = list(labels), list(labels.values())
        tokens = state.profile.gpu.kv_blocks * state.profile.gpu.block_tokens
        for name, help_text, value in (
            ("num_running_reqs", "The number of running requests.", len(state.running)),
            ("num_queue_reqs", "The number of requests in the waiting queue.", len(model.waiting)),
            ("num_used_tokens", "The number of used tokens.", round(model.blocks.usage * tokens)),
            ("max_total_num_tokens", "Maximum total number of tokens in the KV cache pool.", tokens),
            ("token_usage", "The token usage.", model.blocks.usage),
            ("cache_hit_rate", "The prefix cache hit rate.", self._hit_rate),
        ):
            gauge = GaugeMetricFamily(f"sglang:{name}", help_text, labels=names)
            gauge.add_metric(values, value)
            yield gauge
        for name, help_text, value in (
            ("prompt_tokens", "Number of prefill tokens processed.", state.finished_prompts.total),
            ("generation_tokens", "Number of generation tokens processed.", state.finished_outputs.total),
            ("cached_tokens", "Number of cached prompt tokens.", state.cached_tokens),
            ("num_requests", "Number of requests processed.", state.finished.total()),
        ):
            counter = CounterMetricFamily(f"sglang:{name}", help_text, labels=names)
            counter.add_metric(values, value)
            yield counter
        for name, help_text, histogram in (
            ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", state.ttft),
            ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", state.itl),
            ("e2e_request_latency_seconds", "Histogram of end-to-end request latency in seconds.", state.latency),
            ("queue_time_seconds", "Histogram of queueing time in seconds.", state.queue_time),
        ):
            yield histogram.family(f"sglang:{name}", help_text, labels)

    @property
    def _hit_rate(self) -> float:
        totals = self._state.model.totals
        return totals.prefix_hits / totals.prefix_queries if totals.prefix_queries else 0.0
