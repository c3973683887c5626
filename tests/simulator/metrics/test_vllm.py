from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from simulator.core.sequence import Sequence
from simulator.core.speed import steady
from simulator.metrics.state import EngineState
from simulator.metrics.vllm import VllmMetrics
from tests.support.engines import a_profile

RECORDINGS = Path(__file__).parents[1] / "recordings"
STARTED_AT = 1_000.0


def an_engine(**changes):
    state = EngineState(a_profile(**{"speed": steady(50)} | changes), STARTED_AT)
    return state, VllmMetrics(state)


def exposition(metrics, now_s=STARTED_AT):
    metrics.now_s = now_s
    return generate_latest(metrics).decode()


def run(state, *sequences):
    """All of them, from time 0; each token is counted."""
    now_s, previous_s = 0.0, {}
    for sequence in sequences:
        state.model.add(sequence, now_s)
    while (step := state.model.step(now_s)) is not None:
        now_s += step.duration_s
        for sequence in (*state.model.decoding, *step.ended):
            state.token_made(sequence, previous_s.get(sequence), now_s)
            previous_s[sequence] = now_s
        for sequence in step.ended:
            state.finish(sequence, "length", now_s)


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
    fixed = ("engine", "model_name", "reason", "finished_reason", "sleep_state", "le")
    return tuple(sorted((name, value if name in fixed else None) for name, value in labels.items()))


def value(metrics, name, now_s=STARTED_AT, **labels):
    families = text_string_to_metric_families(exposition(metrics, now_s))
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_every_family_has_the_recorded_type_help_labels_and_buckets():
    _, metrics = an_engine()
    recorded = series((RECORDINGS / "metrics_idle_full.prom").read_text())

    ours = series(exposition(metrics))

    assert len(ours) > 15
    assert {name: recorded[name] for name in ours} == ours


def test_lines_are_written_as_recorded():
    _, metrics = an_engine()
    recorded = set((RECORDINGS / "metrics_idle_full.prom").read_text().splitlines())
    measured = ("process_start_time_seconds ", "vllm:cache_config_info{")

    lines = exposition(metrics).splitlines()

    assert [] == [line for line in lines if line not in recorded and not line.startswith(measured)]


def test_adapters_are_reported_as_recorded():
    _, metrics = an_engine(adapters=("ad1",))
    recorded = series((RECORDINGS / "metrics_lora_one_deferred.prom").read_text())

    assert recorded["vllm:lora_requests_info"] == series(exposition(metrics, 5.0))["vllm:lora_requests_info"]


def test_an_adapter_state_that_has_passed_stays_with_its_time():
    state, metrics = an_engine(adapters=("ad1", "ad2"))
    sequence = Sequence(8, 4, adapter="ad2")
    state.model.add(sequence, 0.0)
    state.model.step(0.0)
    name = "vllm:lora_requests_info"

    assert 10.0 == value(metrics, name, now_s=10.0, running_lora_adapters="ad2", max_lora="1")
    state.model.abort(sequence)

    assert 20.0 == value(metrics, name, now_s=20.0, running_lora_adapters="")
    assert 10.0 == value(metrics, name, now_s=20.0, running_lora_adapters="ad2")


def test_gauges_show_running_waiting_and_kv_usage():
    state, metrics = an_engine(max_running=2, kv_blocks=1000)
    for _ in range(5):
        state.model.add(Sequence(160, 5), 0.0)
    state.model.step(0.0)

    assert 2 == value(metrics, "vllm:num_requests_running")
    assert 3 == value(metrics, "vllm:num_requests_waiting")
    assert 3 == value(metrics, "vllm:num_requests_waiting_by_reason", reason="capacity")
    assert 0.02 == round(value(metrics, "vllm:kv_cache_usage_perc"), 9)


def test_a_request_that_waits_for_an_adapter_slot_is_deferred():
    state, metrics = an_engine(adapters=("ad1", "ad2"))
    for adapter in ("ad1", "ad2"):
        state.model.add(Sequence(16, 5, adapter=adapter), 0.0)
    state.model.step(0.0)

    reasons = [value(metrics, "vllm:num_requests_waiting_by_reason", reason=why) for why in ("capacity", "deferred")]

    assert [0, 1] == reasons


def test_the_sleep_state_is_one_of_three():
    state, metrics = an_engine()
    state.sleep_level = 1

    names = ("awake", "weights_offloaded", "discard_all")

    assert [0, 1, 0] == [value(metrics, "vllm:engine_sleep_state", sleep_state=name) for name in names]


def test_counters_and_histograms_hold_what_was_made():
    state, metrics = an_engine(max_running=1)
    run(state, *(Sequence(40, 3, (1, 2)) for _ in range(2)))

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
    assert 0.06 == round(value(metrics, "vllm:request_queue_time_seconds_sum"), 9)  # the second waited for the first


def test_refusals_of_a_full_queue_are_counted():
    state, metrics = an_engine()
    state.rejections = 1

    assert 1 == value(metrics, "vllm:admission_rejections_total", reason="max_num_queued_reqs")
