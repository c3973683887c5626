"""Standard names: which family of which engine is copied under which `aibrix:` names.

Lives here: the table, and making the copies.  Not here: asking the engine (page).  The names are those of AIBrix v0.2.1
and of its later releases, which differ (`aibrix:e2e_request_latency`, `aibrix:e2e_request_latency_seconds`): both are
there.  Families are looked up without `_total`, because prometheus_client's parser takes it off the names of counters.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

Names = tuple[str, ...]

_CACHE: Names = ("kv_cache_usage_perc", "gpu_cache_usage_perc")  # one figure, which vLLM has renamed
_TTFT: Names = ("time_to_first_token_seconds",)
_TPOT: Names = ("time_per_output_token_seconds", "time_per_output_token")
_E2E: Names = ("e2e_request_latency_seconds", "e2e_request_latency")

_TRTLLM: Mapping[str, Names] = {
    "kv_cache_utilization": _CACHE,
    "kv_cache_hit_rate": ("kv_cache_hit_rate",),
    "time_to_first_token_seconds": _TTFT,
    "time_per_output_token_seconds": _TPOT,
    "e2e_request_latency_seconds": _E2E,
    "request_success": ("request_success",),
}

STANDARD: Mapping[str, Mapping[str, Names]] = {
    "vllm": {
        "vllm:num_requests_waiting": ("queue_size",),
        "vllm:kv_cache_usage_perc": _CACHE,
        "vllm:gpu_cache_usage_perc": _CACHE,
        "vllm:prompt_tokens": ("prompt_tokens",),
        "vllm:generation_tokens": ("generation_tokens",),
        "vllm:request_success": ("request_success",),
        "vllm:time_to_first_token_seconds": _TTFT,
        "vllm:time_per_output_token_seconds": _TPOT,
        "vllm:inter_token_latency_seconds": _TPOT,
        "vllm:e2e_request_latency_seconds": _E2E,
    },
    "sglang": {
        "sglang:num_queue_reqs": ("queue_size",),
        "sglang:token_usage": ("token_usage", *_CACHE),
        "sglang:prompt_tokens": ("prompt_tokens",),
        "sglang:generation_tokens": ("generation_tokens",),
        "sglang:gen_throughput": ("generation_throughput",),
        "sglang:cache_hit_rate": ("cache_hit_rate",),
        "sglang:time_to_first_token_seconds": _TTFT,
        "sglang:time_per_output_token_seconds": _TPOT,
        "sglang:inter_token_latency_seconds": _TPOT,
        "sglang:e2e_request_latency_seconds": _E2E,
    },
    "trtllm": {prefix + family: names for prefix in ("", "trtllm_") for family, names in _TRTLLM.items()},
}
"""Engine -> family -> names without `aibrix:`; where two families have the same name, the first on the page is it."""

OTHER_SPELLINGS: Mapping[str, str] = {"trt-llm": "trtllm", "tensorrt-llm": "trtllm", "tensorrt_llm": "trtllm"}


def copies(engine: str, families: Iterable[Metric]) -> Iterator[Metric]:
    """Yield the copies of an engine's families; none for an engine without standard names.

    A name that the page has already, as that of an engine behind another runtime, is not made again.
    """
    table = STANDARD.get(OTHER_SPELLINGS.get(engine, engine), {})
    families = list(families)
    made = {family.name for family in families}
    for family in families:
        key = family.name.removesuffix("_total")
        for name in table.get(key, ()):
            renamed = f"aibrix:{name}{family.name[len(key) :]}"
            if renamed not in made:
                made.add(renamed)
                yield _renamed(family, renamed)


def _renamed(family: Metric, name: str) -> Metric:
    copy = Metric(name, family.documentation, family.type)
    length = len(family.name)
    copy.samples = [
        Sample(name + one.name[length:], one.labels, one.value, one.timestamp, one.exemplar) for one in family.samples
    ]
    return copy
