"""/metrics of one engine, under vLLM's names, labels and buckets (as recorded from vLLM 0.32.0).

Lives here: counting and the exposition.  Not here: the state that gauges show (timing).
Families are built from plain numbers at each scrape: prometheus_client's own metrics would go to shared files
wherever its multiprocess mode is on, and an engine is one process with figures of its own.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from simulator.profile import BLOCK_TOKENS, Profile
from simulator.timing import Scheduler, Sequence

TTFT_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
                80.0, 160.0, 640.0, 2560.0)  # fmt: skip
ITL_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
               80.0)  # fmt: skip
LATENCY_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
                   480.0, 960.0, 1920.0, 7680.0)  # fmt: skip

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")

CACHE_CONFIG = {
    "_block_size_resolved": "True", "block_size": str(BLOCK_TOKENS), "cache_dtype": "auto",
    "cache_hit_alignment_tokens": "None", "effective_attention_block_size": str(BLOCK_TOKENS),
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
"""The labels of `cache_config_info` that do not depend on the profile."""


class Histogram:
    """Counts per bucket and a sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self, name: str, help_text: str, labels: Mapping[str, str]) -> HistogramMetricFamily:
        """As the exposition has it: cumulative counts, `+Inf` last."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, in_bucket in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += in_bucket
            buckets.append((bound, total))
        family = HistogramMetricFamily(name, help_text, labels=list(labels))
        family.add_metric(list(labels.values()), buckets, self._sum)
        return family


class EngineMetrics(Collector):
    """The figures of one engine.  `started_at` and `now_s` are Unix seconds."""

    def __init__(self, profile: Profile, scheduler: Scheduler, started_at: float) -> None:
        self._profile = profile
        self._scheduler = scheduler
        self._started_at = started_at
        self._now_s = started_at
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._generation_tokens = 0
        self._rejections = 0
        self._finished = dict.fromkeys(FINISH_REASONS, 0)
        self._adapter_states: dict[tuple[str, str], float] = {}
        self._ttft = Histogram(TTFT_BUCKETS)
        self._itl = Histogram(ITL_BUCKETS)
        self._latency = Histogram(LATENCY_BUCKETS)
        self._queue_time = Histogram(LATENCY_BUCKETS)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def token_made(self, sequence: Sequence) -> None:
        """Count the token that `sequence` has just made."""
        gap_s = sequence.token_s - sequence.previous_s
        if sequence.made > 1:
            self._itl.observe(gap_s)
        else:
            self._ttft.observe(gap_s)
            self._prompt_tokens += sequence.prompt_tokens
            self._cached_tokens += sequence.cached_tokens
        self._generation_tokens += sequence.output_tokens > 0

    def finished(self, sequence: Sequence, reason: str) -> None:
        """Count a sequence that made all its tokens (aborts are not counted, as recorded)."""
        self._finished[reason] += 1
        self._latency.observe(sequence.token_s - sequence.arrived_s)
        if sequence.started_s is not None:
            self._queue_time.observe(sequence.started_s - sequence.arrived_s)

    def rejected(self) -> None:
        """Count a request refused because the queue is full."""
        self._rejections += 1

    def exposition(self, now_s: float) -> bytes:
        """The text of /metrics."""
        self._now_s = now_s
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All families in vLLM's order (the registry calls this)."""
        yield from self._process()
        yield from self._load()
        yield from self._counters()
        yield from self._histograms()
        yield self._cache_config()
        if self._profile.adapters:
            yield self._adapters()

    @property
    def _labels(self) -> dict[str, str]:
        return {"engine": "0", "model_name": self._profile.model}

    def _gauge(self, name: str, help_text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"vllm:{name}", help_text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _counter(self, name: str, help_text: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(f"vllm:{name}", help_text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _process(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds."
        )
        family.add_metric([], self._started_at)
        yield family

    def _load(self) -> Iterator[Metric]:
        scheduler = self._scheduler
        waiting = len(scheduler.waiting)
        yield self._gauge(
            "num_requests_running", "Number of requests in model execution batches.", len(scheduler.running)
        )
        yield self._gauge("num_requests_waiting", "Number of requests waiting to be processed.", waiting)
        by_reason = GaugeMetricFamily(
            "vllm:num_requests_waiting_by_reason",
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; "
            "'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). "
            "Sum of all reasons equals vllm:num_requests_waiting.",
            labels=[*self._labels, "reason"],
        )
        by_reason.add_metric([*self._labels.values(), "capacity"], waiting)
        by_reason.add_metric([*self._labels.values(), "deferred"], 0)
        yield by_reason
        yield self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", scheduler.kv_usage)

    def _counters(self) -> Iterator[Metric]:
        yield self._counter(
            "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.",
            self._scheduler.prefix_queries,
        )  # fmt: skip
        yield self._counter(
            "prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", self._scheduler.prefix_hits
        )
        yield self._counter("num_preemptions", "Cumulative number of preemption from the engine.", 0)
        yield self._counter("prompt_tokens", "Number of prefill tokens processed.", self._prompt_tokens)
        yield self._counter(
            "prompt_tokens_cached", "Number of cached prompt tokens (local + external).", self._cached_tokens
        )
        yield self._counter("generation_tokens", "Number of generation tokens processed.", self._generation_tokens)
        yield self._successes()
        yield self._admission_rejections()

    def _successes(self) -> Metric:
        family = CounterMetricFamily(
            "vllm:request_success", "Count of successfully processed requests.",
            labels=[*self._labels, "finished_reason"],
        )  # fmt: skip
        for reason, finished in self._finished.items():
            family.add_metric([*self._labels.values(), reason], finished)
        return family

    def _admission_rejections(self) -> Metric:
        family = CounterMetricFamily(
            "vllm:admission_rejections",
            "Number of admission attempts rejected by a queue limit, by reason.",
            labels=["model_name", "reason"],
        )
        family.add_metric([self._profile.model, "max_num_queued_reqs"], self._rejections)
        family.add_metric([self._profile.model, "max_num_queued_tokens"], 0)
        return family

    def _histograms(self) -> Iterator[Metric]:
        for name, help_text, histogram in (
            ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", self._ttft),
            ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", self._itl),
            ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", self._latency),
            ("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", self._queue_time),
        ):
            yield histogram.family(f"vllm:{name}", help_text, self._labels)

    def _cache_config(self) -> Metric:
        tokens = self._profile.kv_blocks * BLOCK_TOKENS
        labels = CACHE_CONFIG | {
            "num_gpu_blocks": str(self._profile.kv_blocks),
            "kv_cache_size_tokens": str(tokens),
            "kv_cache_max_concurrency": str(tokens / self._profile.max_model_len),
        }
        family = GaugeMetricFamily(
            "vllm:cache_config_info", "Information of the LLMEngine CacheConfig", labels=list(labels)
        )
        family.add_metric(list(labels.values()), 1)
        return family

    def _adapters(self) -> Metric:
        """The value is the time; states that have passed stay, so that a reader must take the newest (as recorded)."""
        state = (self._adapters_of(self._scheduler.running), self._adapters_of(self._scheduler.waiting))
        self._adapter_states[state] = self._now_s
        family = GaugeMetricFamily(
            "vllm:lora_requests_info", "Running stats on lora requests.",
            labels=["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
        )  # fmt: skip
        for (running, waiting), seen_s in self._adapter_states.items():
            family.add_metric([str(len(self._profile.adapters)), running, waiting], seen_s)
        return family

    def _adapters_of(self, sequences: set[Sequence] | dict[Sequence, None]) -> str:
        busy = {sequence.model for sequence in sequences}
        return ",".join(name for name in self._profile.adapters if name in busy)
