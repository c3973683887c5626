from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from simulator.core.sequence import Sequence
from simulator.metrics.sglang import SglangMetrics
from simulator.metrics.state import EngineState
from tests.support.engines import a_profile


def figures(state):
    families = text_string_to_metric_families(generate_latest(SglangMetrics(state)).decode())
    samples = [sample for family in families for sample in family.samples]
    assert {"tiny"} == {sample.labels["model_name"] for sample in samples}
    return {sample.name.removeprefix("sglang:"): sample.value for sample in samples if "le" not in sample.labels}


def test_load_and_cache_have_sglangs_names():
    state = EngineState(a_profile(max_running=1, kv_blocks=1000), 0.0)
    for _ in range(3):
        state.model.add(Sequence(160, 5, range(10)), 0.0)
    state.model.step(0.0)

    seen = figures(state)

    assert (1, 2) == (seen["num_running_reqs"], seen["num_queue_reqs"])
    assert (160, 16000, 0.01) == (seen["num_used_tokens"], seen["max_total_num_tokens"], round(seen["token_usage"], 9))


def test_what_was_done_has_sglangs_names():
    state = EngineState(a_profile(), 0.0)
    assert 0 == figures(state)["cache_hit_rate"]
    for _ in range(2):
        sequence = Sequence(32, 1, (1, 2))
        state.model.add(sequence, 0.0)
        state.model.step(0.0)
        state.token_made(sequence, None, 0.5)
        state.finish(sequence, "length", 0.5)

    seen = figures(state)

    assert (64, 16, 2, 2) == tuple(
        seen[f"{n}_total"] for n in ("prompt_tokens", "cached_tokens", "generation_tokens", "num_requests")
    )
    assert 0.25 == seen["cache_hit_rate"]
    assert (2, 1.0) == (seen["time_to_first_token_seconds_count"], seen["time_to_first_token_seconds_sum"])
