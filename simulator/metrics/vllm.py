"""/metrics of one engine, under vLLM's names, labels and buckets (as recorded from vLLM 0.32.0).

Lives here: the exposition.  Not here: the figures (state), SGLang's names (sglang).
Families are built from plain numbers at each scrape, because prometheus_client's own metrics would go to shared files
wherever its multiprocess mode is on, and because several engines in one process have figures of their own.
"""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from simulator.metrics.state import EngineState, adapters_of

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")

SLEEP_STATES = ("awake", "weights_offloaded", "discard_all")  # by level

CACHE_CONFIG = {
    "_block_size_resolved": "True", "block_size": "", "cache_dtype": "auto",
    "cache_hit_alignment_tokens": "None", "effective_attention_block_size": "",
    "enable_mamba_shared_prefix_checkpoint": "False", "enable_prefix_caching": "True", "engine": "0",
    "gpu_memory_utilization": "0.92", "hash_block_size": "None", "is_attention_free": "False",
    "kv_cache_dtype_skip_layers": "[]", "kv_cache_layout": "None", "kv_cache_memory_bytes": "None",
    "kv_offloading_backend": "native", "kv_offloading_size": "None", "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None", "mamba_cache_dtype": "auto", "mamba_cache_mode": "none",
    "mamba_page_size_padded": "None", "mamba_ssm_cache_dtype": "float32", "num_cpu_blocks": "None",
    "num_gpu_blocks_override": "None", "prefix_cache_retention_interval": "0", "prefix_caching_hash_algo": "sha256",
    "prefix_match_unit": "None", "replayssm_buffer_len": "16", "skip_page_size_padded": "None",
    "sliding_window": "None", "swa_bounded_replay": "True", "use_kda_recoverssm": "False", "use_replayssm": "False",
    "user_specified_block_size": "False",
}  # fmt: skip
"""The labels of `cache_config_info` in vLLM's order; those that depend on the profile are filled in at a scrape."""


class VllmMetrics(Collector):
    """The metrics of one engine; `now_s` is set to the Unix time before each scrape."""

    def __init__(self, state: EngineState) -> None:
        self.now_s = state.started_at
        self._state = state
        self._adapter_states: dict[tuple[str, str], float] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield all families in vLLM's order (the registry calls this)."""
        yield from self._process()
        yield from self._load()
        yield from self._counters()
        yield from self._histograms()
        yield self._cache_config()
        if self._state.profile.adapters:
            yield self._adapters()

    @property
    def _labels(self) -> dict[str, str]:
        return {"engine": "0", "model_name": self._state.profile.model}

    def _gauge(self, name: str, help_text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"vllm:{name}", help_text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _gauges(self, name: str, help_text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"vllm:{name}", help_text, labels=[*self._labels, label])
        for which, value in values.items():
            family.add_metric([*self._labels.values(), which], value)
        return family

    def _counter(self, name: str, help_text: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(f"vllm:{name}", help_text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _process(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds."
        )
        family.add_metric([], self._state.started_at)
        yield family

    def _load(self) -> Iterator[Metric]:
        state = self._state
        waiting, deferred = len(state.model.waiting), state.deferred
        yield self._gauge("num_requests_running", "Number of requests in model execution batches.", len(state.running))
        yield self._gauge("num_requests_waiting", "Number of requests waiting to be processed.", waiting)
        yield self._gauges(
            "num_requests_waiting_by_reason",
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; "
            "'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). "
            "Sum of all reasons equals vllm:num_requests_waiting.",
            "reason",
            {"capacity": waiting - deferred, "deferred": deferred},
        )
        yield self._gauges(
            "engine_sleep_state",
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; "
            "weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
            "sleep_state",
            {name: level == state.sleep_level for level, name in enumerate(SLEEP_STATES)},
        )
        yield self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", state.model.blocks.usage)

    def _counters(self) -> Iterator[Metric]:
        state, totals = self._state, self._state.model.totals
        yield self._counter(
            "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.",
            totals.prefix_queries,
        )  # fmt: skip
        yield self._counter(
            "prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", totals.prefix_hits
        )
        yield self._counter("num_preemptions", "Cumulative number of preemption from the engine.", totals.preemptions)
        yield self._counter("prompt_tokens", "Number of prefill tokens processed.", state.prompt_tokens)
        yield self._counter(
            "prompt_tokens_cached", "Number of cached prompt tokens (local + external).", state.cached_tokens
        )
        yield self._counter("generation_tokens", "Number of generation tokens processed.", state.generation_tokens)
        yield self._successes()
        yield self._admission_rejections()

    def _successes(self) -> Metric:
        family = CounterMetricFamily(
            "vllm:request_success", "Count of successfully processed requests.",
            labels=[*self._labels, "finished_reason"],
        )  # fmt: skip
        for reason in FINISH_REASONS:
            family.add_metric([*self._labels.values(), reason], self._state.finished[reason])
        return family

    def _admission_rejections(self) -> Metric:
        family = CounterMetricFamily(
            "vllm:admission_rejections",
            "Number of admission attempts rejected by a queue limit, by reason.",
            labels=["model_name", "reason"],
        )
        family.add_metric([self._state.profile.model, "max_num_queued_reqs"], self._state.rejections)
        family.add_metric([self._state.profile.model, "max_num_queued_tokens"], 0)
        return family

    def _histograms(self) -> Iterator[Metric]:
        for name, help_text, histogram in (
            ("request_prompt_tokens", "Number of prefill tokens processed.", self._state.finished_prompts),
            ("request_generation_tokens", "Number of generation tokens processed.", self._state.finished_outputs),
            ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", self._state.ttft),
            ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", self._state.itl),
            ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", self._state.latency),
            (
                "request_queue_time_seconds",
                "Histogram of time spent in WAITING phase for request.",
                self._state.queue_time,
            ),
        ):
            yield histogram.family(f"vllm:{name}", help_text, self._labels)

    def _cache_config(self) -> Metric:
        profile = self._state.profile
        block_tokens, blocks = profile.gpu.block_tokens, profile.gpu.kv_blocks
        labels = CACHE_CONFIG | {
            "block_size": str(block_tokens),
            "effective_attention_block_size": str(block_tokens),
            "num_gpu_blocks": str(blocks),
            "kv_cache_size_tokens": str(blocks * block_tokens),
            "kv_cache_max_concurrency": str(blocks * block_tokens / profile.max_model_len),
        }
        family = GaugeMetricFamily(
            "vllm:cache_config_info", "Information of the LLMEngine CacheConfig", labels=list(labels)
        )
        family.add_metric(list(labels.values()), 1)
        return family

    def _adapters(self) -> Metric:
        """Return the family whose value is a time; past states stay, so a reader must take the newest (as recorded)."""
        state = self._state
        busy = ",".join(adapters_of(state.running)), ",".join(adapters_of(state.model.waiting))
        self._adapter_states[busy] = self.now_s
        family = GaugeMetricFamily(
            "vllm:lora_requests_info", "Running stats on lora requests.",
            labels=["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
        )  # fmt: skip
        for (running, waiting), seen_s in self._adapter_states.items():
            family.add_metric([str(state.profile.gpu.adapter_slots), running, waiting], seen_s)
        return family
