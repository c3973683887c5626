from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from simulator.metrics import EngineMetrics
from simulator.profile import Profile
from simulator.timing import Scheduler, Sequence

RECORDINGS = Path(__file__).parent / "recordings"
STARTED_AT = 1_000.0


def an_engine(**changes):
    profile = Profile(**{"model": "tiny"} | changes)
    scheduler = Scheduler(profile)
    return scheduler, EngineMetrics(profile, scheduler, STARTED_AT)


def run(scheduler, metrics, *sequences):
    for sequence in sequences:
        scheduler.submit(sequence, sequence.arrived_s)
    for sequence in scheduler.advance(1e6):
        metrics.token_made(sequence)
        if sequence.ended:
            metrics.finished(sequence, "length")


def series(text):
    """Name -> (type, help, {(sample name, labels without values that vary)})."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {(sample.name, _fixed_labels(sample.labels)) for sample in family.samples},
        )
        for family in text_string_to_metric_families(text)
    }


def _fixed_labels(labels):
    fixed = ("engine", "model_name", "reason", "finished_reason", "le")
    return tuple(sorted((name, value if name in fixed else None) for name, value in labels.items()))


def value(metrics, name, now_s=STARTED_AT, **labels):
    families = text_string_to_metric_families(metrics.exposition(now_s).decode())
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_every_family_has_the_recorded_type_help_labels_and_buckets():
    _, metrics = an_engine()
    recorded = series((RECORDINGS / "metrics_idle_full.prom").read_text())

    ours = series(metrics.exposition(STARTED_AT).decode())

    assert len(ours) > 15
    assert {name: recorded[name] for name in ours} == ours


def test_lines_are_written_as_recorded():
    _, metrics = an_engine()
    recorded = set((RECORDINGS / "metrics_idle_full.prom").read_text().splitlines())
    measured = ("process_start_time_seconds ", "vllm:cache_config_info{")

    lines = metrics.exposition(STARTED_AT).decode().splitlines()

    assert [] == [line for line in lines if line not in recorded and not line.startswith(measured)]


def test_adapters_are_reported_as_recorded():
    _, metrics = an_engine(adapters=("ad1",))
    recorded = series((RECORDINGS / "metrics_lora_one_deferred.prom").read_text())

    assert recorded["vllm:lora_requests_info"] == series(metrics.exposition(5.0).decode())["vllm:lora_requests_info"]


def test_an_adapter_state_that_has_passed_stays_with_its_time():
    scheduler, metrics = an_engine(adapters=("ad1", "ad2"))
    sequence = Sequence(8, 4, 0.0, model="ad2")
    scheduler.submit(sequence, 0.0)
    name = "vllm:lora_requests_info"

    assert 10.0 == value(metrics, name, now_s=10.0, running_lora_adapters="ad2", max_lora="2")
    scheduler.abort(sequence, 1.0)

    assert 20.0 == value(metrics, name, now_s=20.0, running_lora_adapters="")
    assert 10.0 == value(metrics, name, now_s=20.0, running_lora_adapters="ad2")


def test_gauges_show_running_waiting_and_kv_usage():
    scheduler, metrics = an_engine(max_running=2, kv_blocks=1000)
    for _ in range(5):
        scheduler.submit(Sequence(160, 5, 0.0), 0.0)

    assert 2 == value(metrics, "vllm:num_requests_running")
    assert 3 == value(metrics, "vllm:num_requests_waiting")
    assert 3 == value(metrics, "vllm:num_requests_waiting_by_reason", reason="capacity")
    assert 0.02 == value(metrics, "vllm:kv_cache_usage_perc")


def test_counters_and_histograms_hold_what_was_made():
    scheduler, metrics = an_engine(max_running=1)
    run(scheduler, metrics, *(Sequence(40, 3, 0.0, (1, 2)) for _ in range(2)))

    counts = {
        name: value(metrics, f"vllm:{name}")
        for name in (
            "prompt_tokens_total", "generation_tokens_total", "prefix_cache_queries_total", "prefix_cache_hits_total",
            "prompt_tokens_cached_total", "time_to_first_token_seconds_count", "inter_token_latency_seconds_count",
            "e2e_request_latency_seconds_count", "request_queue_time_seconds_count",
        )
    }  # fmt: skip

    assert [80, 6, 80, 32, 32, 2, 4, 2, 2] == list(counts.values())
    assert 2 == value(metrics, "vllm:request_success_total", finished_reason="length")
    assert 0.08 == round(value(metrics, "vllm:inter_token_latency_seconds_sum"), 9)
    first_took_s = 0.05 + 40 / 4000 + 2 / 50
    assert round(first_took_s, 9) == round(value(metrics, "vllm:request_queue_time_seconds_sum"), 9)


def test_an_embedding_counts_its_prompt_and_no_generation():
    scheduler, metrics = an_engine()
    run(scheduler, metrics, Sequence(40, 0, 0.0))

    assert 40 == value(metrics, "vllm:prompt_tokens_total")
    assert 0 == value(metrics, "vllm:generation_tokens_total")


def test_refusals_of_a_full_queue_are_counted():
    _, metrics = an_engine()
    metrics.rejected()

    assert 1 == value(metrics, "vllm:admission_rejections_total", reason="max_num_queued_reqs")
