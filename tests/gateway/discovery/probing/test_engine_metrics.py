"""Metrics pages: recorded from vLLM, made up for the others."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.discovery.probing.engine_metrics import ENGINES, parse
from gateway.discovery.probing.readings import Readings
from routing.pods.adapters import NO_USE, AdapterUse
from routing.pods.engine_totals import NO_TOTALS, EngineTotals, FinishedTotals
from routing.types import Signal

RECORDINGS = Path(__file__).parent / "recordings"


def recorded(state: str) -> Readings:
    return parse((RECORDINGS / f"metrics_{state}.prom").read_bytes(), "vllm")


def signals(page: str, engine: str) -> dict[Signal, float]:
    return dict(parse(page.encode(), engine).signals)


def test_a_busy_engine_tells_what_runs_and_waits_and_how_full_it_is() -> None:
    readings = recorded("running2_waiting4")

    assert (readings.signals[Signal.RUNNING], readings.signals[Signal.WAITING]) == (2.0, 4.0)
    assert 0 < readings.signals[Signal.KV_USAGE] < 1
    assert readings.totals == EngineTotals(0.7563150739988487, 211, 44.53919196128845, 20, 114, 0)


def test_an_idle_engine_says_zero_which_is_not_nothing() -> None:
    assert recorded("idle_full").signals == {Signal.RUNNING: 0.0, Signal.WAITING: 0.0, Signal.KV_USAGE: 0.0}


def test_the_room_of_the_cache_is_what_the_engine_says_in_tokens() -> None:
    assert recorded("lora_one_deferred").cache_tokens == 300 * 32
    assert parse(b'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n', "vllm").cache_tokens == 1600
    assert parse(b'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n', "vllm").cache_tokens is None


def test_several_schedulers_behind_one_address_are_one_pod() -> None:
    one, two = recorded("idle_full").cache_tokens, recorded("dp2_two_engines").cache_tokens
    page = 'vllm:num_requests_running{engine="0"} 2\nvllm:num_requests_running{engine="1"} 3\n'
    page += 'vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.4\n'

    assert (one, two) == (131072, 2 * 131072)
    assert signals(page, "vllm") == {Signal.RUNNING: 5.0, Signal.KV_USAGE: pytest.approx(0.3)}


def test_the_newest_line_tells_which_adapters_run() -> None:
    page = b'vllm:lora_requests_info{running_lora_adapters="a,b",waiting_lora_adapters="c"} 20.0\n'
    older = b'vllm:lora_requests_info{running_lora_adapters="z",waiting_lora_adapters=""} 10.0\n'

    assert parse(page + older, "vllm").adapters == parse(older + page, "vllm").adapters
    assert parse(page + older, "vllm").adapters.active == {"a", "b", "c"}
    assert recorded("idle_full").adapters == NO_USE
    assert recorded("lora_one_deferred").adapters.active <= {"ad1", "ad2"}


def test_older_lines_tell_when_an_adapter_was_last_used() -> None:
    states = [("a,b", "", 10), ("a", "c", 20), ("", "", 30), ("b", "", 5)]
    page = "".join(
        f'vllm:lora_requests_info{{max_lora="4",running_lora_adapters="{running}",waiting_lora_adapters="{waiting}"}} '
        f"{time_s}\n"
        for running, waiting, time_s in states
    )

    assert parse(page.encode(), "vllm").adapters == AdapterUse(frozenset(), {"a": 20, "b": 10, "c": 20}, 4)
    assert recorded("lora_one_deferred").adapters.slots == 1


def test_of_ever_so_many_states_of_adapters_the_latest_are_read() -> None:
    line = 'vllm:lora_requests_info{{running_lora_adapters="a{0}",waiting_lora_adapters=""}} {0}.0\n'
    page = "".join(line.format(number) for number in range(1000)).encode()

    assert parse(page, "vllm").adapters.used_s.keys() == {f"a{number}" for number in range(936, 1000)}


def test_older_and_other_names_mean_the_same() -> None:
    assert signals("vllm:gpu_cache_usage_perc 0.5\n", "vllm") == {Signal.KV_USAGE: 0.5}
    assert parse(b"vllm:gpu_cache_usage_perc 0.5\n", "vllm").totals == NO_TOTALS
    assert signals('trtllm_kv_cache_utilization{model="m"} 0.25\n', "trtllm") == {Signal.KV_USAGE: 0.25}
    sglang = 'sglang:num_running_reqs{a="b"} 3\nsglang:num_queue_reqs{a="b"} 4\nsglang:token_usage{a="b"} 0.5\n'
    assert signals(sglang, "sglang") == {Signal.RUNNING: 3.0, Signal.WAITING: 4.0, Signal.KV_USAGE: 0.5}


@pytest.mark.parametrize(
    ("engine", "gaps", "firsts", "prompt", "cached"),
    [
        (
            "vllm", "vllm:time_per_output_token_seconds", "vllm:time_to_first_token_seconds",
            "vllm:prompt_tokens_total", "vllm:prefix_cache_hits_total",
        ),
        (
            "sglang", "sglang:inter_token_latency_seconds", "sglang:time_to_first_token_seconds",
            "sglang:prompt_tokens_total", "sglang:cached_tokens_total",
        ),
        ("trtllm", "trtllm_time_per_output_token_seconds", "trtllm_time_to_first_token_seconds", "", ""),
    ],
)  # fmt: skip
def test_every_engine_adds_up_its_times_under_names_of_its_own(
    engine: str, gaps: str, firsts: str, prompt: str, cached: str
) -> None:
    names = [f"{gaps}_sum", f"{gaps}_count", f"{firsts}_sum", f"{firsts}_count", prompt, cached]
    page = "".join(f'{name}{{m="x"}} {number}\n{name}{{m="y"}} 1\n' for number, name in enumerate(names) if name)

    assert parse(page.encode(), engine).totals == EngineTotals(
        *(number + 1 if name else None for number, name in enumerate(names))
    )


def test_finished_requests_are_counted_without_those_that_run() -> None:
    assert recorded("running2_waiting4").finished == FinishedTotals(18, 96, 56, is_whole=True)
    assert recorded("dp2_two_engines").finished == FinishedTotals(6, 288, 24, is_whole=True)


VLLM_COUNTERS = "vllm:prompt_tokens_total 9\nvllm:generation_tokens_total 7\n"


@pytest.mark.parametrize(
    ("page", "engine", "finished"),
    [
        (VLLM_COUNTERS + 'vllm:request_success_total{r="a"} 1\nvllm:request_success_total{r="b"} 2\n', "vllm", True),
        (VLLM_COUNTERS + "vllm:request_success_total 3\nvllm:num_requests_running 1\n", "vllm", False),
        (VLLM_COUNTERS + "vllm:request_success_total 3\nvllm:num_requests_waiting 1\n", "vllm", False),
        (VLLM_COUNTERS, "vllm", None),
        (
            "sglang:prompt_tokens_total 9\nsglang:generation_tokens_total 7\nsglang:num_requests_total 3\n"
            "sglang:num_running_reqs 2\n",
            "sglang",
            True,
        ),
        ("trtllm_request_success_total 3\n", "trtllm", None),
    ],
)
def test_counters_tell_of_finished_requests_where_none_runs(page: str, engine: str, finished: bool | None) -> None:
    expected = None if finished is None else FinishedTotals(3, 9, 7, is_whole=finished)
    assert parse(page.encode(), engine).finished == expected


def test_a_longer_name_is_another_family() -> None:
    assert (
        signals('vllm:num_requests_waiting_by_reason{reason="capacity"} 9\n# vllm:num_requests_running 3\n', "vllm")
        == {}
    )


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "-Inf", "x", "", "1 2 3 4x"])
def test_what_is_no_number_from_zero_up_is_absent(value: str) -> None:
    page = f"vllm:num_requests_running {value}\nvllm:num_requests_waiting 7 1700000000\n"

    expected = {Signal.WAITING: 7.0} | ({Signal.RUNNING: 1.0} if value.startswith("1") else {})
    assert signals(page, "vllm") == expected


def test_an_engine_that_is_not_known_says_nothing() -> None:
    assert parse(b"vllm:num_requests_running 1\n", "other") == Readings()


@given(page=st.binary(max_size=200), engine=st.sampled_from(sorted(ENGINES)))
def test_no_page_breaks_the_parser(page: bytes, engine: str) -> None:
    parse(page + b"\nvllm:cache_config_info{" + page + b"\nvllm:lora_requests_info" + page, engine)
