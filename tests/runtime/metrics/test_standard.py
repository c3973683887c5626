import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from runtime.metrics.standard import copies
from tests.support.source_tree import ROOT

VLLM = ROOT / "tests/simulator/recordings/metrics_idle_full.prom"
"""Recorded from vLLM 0.32.0 (tests/simulator/recordings/README.md)."""
SGLANG = """\
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="m"} 3.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="m"} 0.5
# TYPE sglang:gen_throughput gauge
sglang:gen_throughput{model_name="m"} 7.0
# TYPE sglang:cache_hit_rate gauge
sglang:cache_hit_rate{model_name="m"} 0.1
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="m"} 9.0
"""
TRTLLM = """\
# TYPE trtllm_kv_cache_utilization gauge
trtllm_kv_cache_utilization 0.25
# TYPE request_success_total counter
request_success_total 4.0
"""


def copied(engine: str, page: str) -> dict[str, Metric]:
    return {one.name: one for one in copies(engine, text_string_to_metric_families(page))}


def values(engine: str, page: str) -> dict[str, float]:
    return {sample.name: sample.value for one in copied(engine, page).values() for sample in one.samples}


def test_a_real_vllm_has_every_standard_name():
    found = copied("vllm", VLLM.read_text())

    assert {f"aibrix:{name}" for name in (
        "queue_size", "kv_cache_usage_perc", "gpu_cache_usage_perc", "prompt_tokens", "generation_tokens",
        "request_success", "time_to_first_token_seconds", "time_per_output_token_seconds", "time_per_output_token",
        "e2e_request_latency_seconds", "e2e_request_latency",
    )} == found.keys()  # fmt: skip


def test_counters_keep_their_ending_and_histograms_their_buckets():
    found = copied("vllm", VLLM.read_text())
    names = {name.removeprefix("aibrix:"): {sample.name for sample in one.samples} for name, one in found.items()}

    assert {"aibrix:prompt_tokens_total"} == names["prompt_tokens"]
    assert {f"aibrix:e2e_request_latency{end}" for end in ("_bucket", "_sum", "_count")} == names["e2e_request_latency"]
    assert {"finished_reason", "engine", "model_name"} == found["aibrix:request_success"].samples[0].labels.keys()


def test_the_older_name_of_the_cache_is_the_same_figure():
    page = "# TYPE vllm:gpu_cache_usage_perc gauge\nvllm:gpu_cache_usage_perc 0.5\n"

    assert {"aibrix:kv_cache_usage_perc": 0.5, "aibrix:gpu_cache_usage_perc": 0.5} == values("vllm", page)


def test_of_two_families_for_one_name_the_first_is_copied():
    lines = ("vllm:kv_cache_usage_perc 0.1", "vllm:gpu_cache_usage_perc 0.9")
    page = "".join(f"# TYPE {line.split()[0]} gauge\n{line}\n" for line in lines)

    assert {"aibrix:kv_cache_usage_perc": 0.1, "aibrix:gpu_cache_usage_perc": 0.1} == values("vllm", page)


def test_sglang_and_tensorrt_have_their_own_table():
    assert {
        "aibrix:queue_size": 3, "aibrix:token_usage": 0.5, "aibrix:kv_cache_usage_perc": 0.5,
        "aibrix:gpu_cache_usage_perc": 0.5, "aibrix:generation_throughput": 7, "aibrix:cache_hit_rate": 0.1,
        "aibrix:prompt_tokens_total": 9,
    } == values("sglang", SGLANG)  # fmt: skip
    expected = {"kv_cache_usage_perc": 0.25, "gpu_cache_usage_perc": 0.25, "request_success_total": 4}
    assert {f"aibrix:{name}": value for name, value in expected.items()} == values("tensorrt-llm", TRTLLM)


@pytest.mark.parametrize("engine", ["llamacpp", ""])
def test_another_engine_has_no_copies(engine: str):
    assert {} == copied(engine, VLLM.read_text())


def test_a_standard_name_that_is_there_is_not_made_again():
    page = "# TYPE aibrix:queue_size gauge\naibrix:queue_size 1\n# TYPE vllm:num_requests_waiting gauge\n"

    assert {} == values("vllm", f"{page}vllm:num_requests_waiting 2\n")


def test_a_counter_without_a_type_is_found_too():
    assert {"aibrix:prompt_tokens_total": 5} == values("vllm", "vllm:prompt_tokens_total 5\n")
