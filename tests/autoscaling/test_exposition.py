"""Metrics are found by the names that people write, whatever the engine calls them; nothing that is missing is zero."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest

from autoscaling.exposition import KV_USAGE, RUNNING, TTFT, WAITING, NoExpositionError, Total, names_of, parse


@pytest.mark.parametrize(
    ("written", "on_the_page"),
    [
        ("gpu_cache_usage_perc", "gpu_cache_usage_perc"),
        ("gpu_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        ("gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"),
        ("vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"),
        ("kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        ("gpu_cache_usage_perc", "sglang:token_usage"),
        ("vllm:num_requests_running", "sglang:num_running_reqs"),
        ("num_queue_reqs", "vllm:num_requests_waiting"),
        ("aibrix:queue_size", "vllm:num_requests_waiting"),
        ("vllm:request_success", "vllm:request_success_total"),
        ("prompt_tokens_total", "vllm:prompt_tokens"),
        ("num_requests_running", "sglang:num_requests_running"),
    ],
)
def test_a_metric_is_found_by_every_name_that_it_has_had(written: str, on_the_page: str):
    assert 0.5 == parse(f'{on_the_page}{{engine="0"}} 0.5\n'.encode()).value(written)


def test_the_exact_name_comes_before_prefixes_and_these_before_aliases():
    page = parse(b"kv_cache_usage_perc 0.1\nvllm:kv_cache_usage_perc 0.2\nvllm:gpu_cache_usage_perc 0.3\n")

    assert 0.1 == page.value("kv_cache_usage_perc")
    assert 0.3 == page.value("gpu_cache_usage_perc")
    assert ("m", "vllm:m", "sglang:m", "aibrix:m") == names_of("m")[:4]


def test_a_name_is_not_found_inside_another_name():
    page = parse(b'vllm:num_requests_waiting_by_reason{reason="capacity"} 7\n')

    assert page.value("num_requests_waiting") is None


def test_series_are_added_up_and_ratios_averaged():
    page = parse(
        b'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_running{engine="1"} 4\n'
        b'vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.6\n'
    )

    assert 7 == page.value(RUNNING)
    assert 0.4 == pytest.approx(page.value(KV_USAGE))


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_is_no_number_is_absent(value: str):
    page = parse(
        f'vllm:num_requests_running{{engine="0"}} 3\nvllm:num_requests_running{{engine="1"}} {value}\n'.encode()
    )

    assert page.value(RUNNING) is None
    assert page.value(WAITING) is None
    assert page.total(TTFT) is None


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"\n <!DOCTYPE html><html></html>", "HTML"),
        (b'{"error": "unknown"}', "not of metrics"),
        (b"Not found", "not of metrics"),
        (b"vllm:num_requests_running", "not of metrics"),
        (b"\xff\xfe\x00 1", "not of metrics"),
    ],
)
def test_a_page_that_is_not_of_metrics_is_said_to_be_none(page: bytes, said: str):
    with pytest.raises(NoExpositionError, match=said):
        parse(page)


def test_an_empty_page_has_no_metrics():
    assert parse(b"").value(RUNNING) is None


def test_what_prometheus_clients_write_is_read():
    registry = CollectorRegistry()
    Gauge("vllm:num_requests_running", "Text # with {braces}.", ["engine"], registry=registry).labels("0").set(2)
    Counter("vllm:request_success", "c", ["reason"], registry=registry).labels("stop").inc(5)
    Histogram("vllm:time_to_first_token_seconds", "h", ["engine"], registry=registry).labels("0").observe(0.25)
    latencies = Summary("latency", "s", registry=registry)
    latencies.observe(3)

    page = parse(generate_latest(registry))

    assert (2, 5) == (page.value("num_requests_running"), page.value("request_success"))
    assert Total(0.25, 1) == page.total(TTFT)
    assert Total(3, 1) == page.total("latency")


def test_quantiles_are_no_value():
    page = parse(b'latency{quantile="0.5"} 3\nlatency{quantile="0.9"} 5\nlatency_sum 8\nlatency_count 2\n')

    assert page.value("latency") is None
    assert Total(8, 2) == page.total("latency")


def test_labels_and_timestamps_are_read_over():
    page = parse(b'm{a="a \\"quoted\\" } value 9",b="x_bucket{"} 4 1700000000000\nm_bucket{le="1"} 9\n')

    assert 4 == page.value("m")
