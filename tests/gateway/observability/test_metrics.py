"""Metrics of one process, and summed over real worker processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import nan
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.metrics import FLUSH_S, Metrics, forget_process

WORKER = """
import os, sys
from pathlib import Path
from gateway.observability.metrics import Metrics

metrics = Metrics(["least-request"], Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
metrics.add_models(["m"])
metrics.add_in_flight("m", 1)
metrics.add_reservations(1)
metrics.count_request("m", "least-request", "ok")
metrics.observe_decision(0.00005)
metrics.set_endpoints({("m", "ready"): int(sys.argv[1])})
metrics.set_redis_up(sys.argv[2] == "up")
metrics.flush()
print("flushed", flush=True)
sys.stdin.read()
"""
"""A worker process: one request running, one answered; then it waits to be ended."""


@contextmanager
def a_worker(shared: Path, endpoints: int, redis: str) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(shared), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WORKER, str(endpoints), redis]
    with subprocess.Popen(command, env=environ, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert "flushed\n" == process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names...) -> value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def one_process() -> Metrics:
    metrics = Metrics(["least-request", "random"])
    metrics.add_models(["m"])
    return metrics


def test_each_count_has_the_name_and_labels_of_the_contract():
    metrics = one_process()
    metrics.count_request("m", "random", "ok")
    metrics.add_in_flight("m", 1)
    metrics.add_reservations(1)
    metrics.count_tokens("m", "reserved", 300)
    metrics.count_refusal("rpm")
    metrics.count_fallback("random", "no-signals")
    metrics.count_error("scrape")
    metrics.count_config_reload("failure")
    metrics.set_redis_up(up=True)
    metrics.set_endpoints({("m", "ready"): 2})

    found = samples(metrics)

    assert 1 == found["forebay_requests_total", "m", "ok", "random"]
    assert 1 == found["forebay_requests_in_flight", "m"]
    assert 1 == found["forebay_reservations_open",]
    assert 300 == found["forebay_tokens_total", "reserved", "m"]
    assert 1 == found["forebay_refusals_total", "rpm"]
    assert 1 == found["forebay_fallbacks_total", "no-signals", "random"]
    assert 1 == found["forebay_errors_total", "scrape"]
    assert 1 == found["forebay_config_reloads_total", "failure"]
    assert 1 == found["forebay_redis_up",]
    assert 2 == found["forebay_endpoints", "m", "ready"]


def test_durations_fall_into_buckets_of_seconds():
    metrics = one_process()
    metrics.observe_decision(0.00002)
    metrics.observe_limiter(0.004)

    found = samples(metrics)

    assert (0, 1) == (
        found["forebay_decision_seconds_bucket", "1e-05"],
        found["forebay_decision_seconds_bucket", "3e-05"],
    )
    assert (0, 1) == (
        found["forebay_limiter_seconds_bucket", "0.002"],
        found["forebay_limiter_seconds_bucket", "0.005"],
    )


def test_counts_go_on_after_a_page_was_rendered():
    metrics = one_process()
    for _ in range(3):
        metrics.count_refusal("tpm")
        metrics.render()

    assert 3 == samples(metrics)["forebay_refusals_total", "tpm"]


def test_levels_return_to_exactly_zero():
    metrics = one_process()
    for change in (1, 1, -1):
        metrics.add_in_flight("m", change)
        metrics.add_reservations(change)
    metrics.flush()
    metrics.add_in_flight("m", -1)
    metrics.add_reservations(-1)

    found = samples(metrics)

    assert (0, 0) == (found["forebay_requests_in_flight", "m"], found["forebay_reservations_open",])


def test_a_known_model_is_shown_before_its_first_request():
    assert 0 == samples(one_process())["forebay_requests_in_flight", "m"]


def test_names_that_clients_make_up_do_not_become_series():
    metrics = one_process()
    for number in range(100):
        metrics.count_request(f"made-up-{number}", f"random:{number},least-request", "refused")
        metrics.count_tokens(f"made-up-{number}", "input", 1)

    found = samples(metrics)

    assert 100 == found["forebay_requests_total", "unknown", "refused", "mixture"]
    assert 100 == found["forebay_tokens_total", "input", "unknown"]


def test_what_stands_in_for_several_parts_of_a_mixture_is_counted_by_each():
    metrics = one_process()
    metrics.count_fallback("least-request,random", "no-session+no-blocks")
    found = samples(metrics)

    assert [1, 1] == [found["forebay_fallbacks_total", reason, "mixture"] for reason in ("no-session", "no-blocks")]


def test_a_request_refused_before_routing_has_no_strategy():
    metrics = one_process()
    metrics.count_request("m", "", "refused")

    assert 1 == samples(metrics)["forebay_requests_total", "m", "refused", ""]


def test_a_model_that_left_the_configuration_keeps_its_label():
    metrics = one_process()
    metrics.add_in_flight("m", 1)
    metrics.add_models(["other"])
    metrics.add_in_flight("m", -1)

    assert 0 == samples(metrics)["forebay_requests_in_flight", "m"]


def test_endpoints_not_mentioned_any_more_are_zero():
    metrics = one_process()
    metrics.set_endpoints({("m", "ready"): 2, ("m", "draining"): 1})
    metrics.set_endpoints({("m", "ready"): 3})

    found = samples(metrics)

    assert (3, 0) == (found["forebay_endpoints", "m", "ready"], found["forebay_endpoints", "m", "draining"])


def test_sets_of_kubernetes_are_followed_or_behind():
    metrics = one_process()
    metrics.set_followed({"Pod": 0.0, "Node": 12.5})

    found = samples(metrics)

    assert (1, 0) == tuple(found["forebay_kubernetes_followed", kind] for kind in ("Pod", "Node"))
    assert (0, 12.5) == tuple(found["forebay_kubernetes_behind_seconds", kind] for kind in ("Pod", "Node"))


def test_what_nobody_reported_is_absent_and_not_zero():
    assert ("forebay_redis_up",) not in samples(one_process())


async def test_the_lag_says_how_long_the_loop_was_blocked():
    metrics = one_process()
    running = asyncio.create_task(metrics.run())
    await asyncio.sleep(0)  # it begins to wait
    blocked_s = 2 * FLUSH_S
    end_s = asyncio.get_running_loop().time() + blocked_s
    while asyncio.get_running_loop().time() < end_s:
        pass

    while ("forebay_loop_lag_seconds",) not in (found := samples(metrics)):  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0)
    running.cancel()

    assert found["forebay_loop_lag_seconds",] >= blocked_s - FLUSH_S - 0.01
    with pytest.raises(asyncio.CancelledError):
        await running


def test_worker_processes_are_summed_and_a_killed_one_leaves_only_its_counters(tmp_path):
    page = Metrics([], shared=tmp_path)
    with a_worker(tmp_path, endpoints=2, redis="up") as first, a_worker(tmp_path, endpoints=3, redis="down"):
        both = samples(page)
        assert (2, 2) == (both["forebay_requests_in_flight", "m"], both["forebay_reservations_open",])
        assert 2 == both["forebay_requests_total", "m", "ok", "least-request"]
        assert (2, 3, 0) == (
            both["forebay_decision_seconds_count",],
            both["forebay_endpoints", "m", "ready"],
            both["forebay_redis_up",],
        )

        first.send_signal(signal.SIGKILL)
        first.wait()
        assert 2 == samples(page)["forebay_requests_in_flight", "m"]  # nobody told us yet
        forget_process(first.pid, tmp_path)

        one = samples(page)
        assert (1, 1) == (one["forebay_requests_in_flight", "m"], one["forebay_reservations_open",])
        assert 2 == one["forebay_requests_total", "m", "ok", "least-request"]


def test_forgetting_a_process_that_left_nothing_is_harmless(tmp_path):
    forget_process(4_194_305, tmp_path)


def test_a_shadow_strategy_is_counted_by_whether_it_agrees():
    metrics = one_process()
    metrics.count_shadow_decision("random", "least-request", True)

    assert 1 == samples(metrics)["forebay_shadow_decisions_total", "true", "least-request", "random"]


def test_loads_are_shown_by_model_and_no_prediction_is_no_number():
    metrics = Metrics(())
    metrics.add_models(["m", "n"])

    metrics.set_loads({"m": (1200.0, 0.5), "n": (0.0, nan), "made-up": (3.0, nan)})

    page = metrics.render().decode()
    assert 'forebay_tokens_in_flight{model="m"} 1200.0' in page
    assert 'forebay_tokens_in_flight{model="unknown"} 3.0' in page
    assert 'forebay_predicted_ttft_ratio{model="m"} 0.5' in page
    assert 'forebay_predicted_ttft_ratio{model="n"} NaN' in page


async def test_the_page_is_written_beside_the_loop():
    metrics = Metrics(["random"])
    metrics.count_request("m", "random", "ok")

    page = await metrics.page()

    assert b'forebay_requests_total{model="unknown",outcome="ok",strategy="random"} 1.0' in page


def test_a_gauge_that_changes_back_and_to_nothing_is_shown_as_it_is():
    metrics = Metrics([])
    metrics.add_models(["m"])
    shown = []
    for ratio in (0.5, nan, nan, 0.5, 0.0):
        metrics.set_loads({"m": (1.0, ratio)})
        shown.append(metrics.render().decode().partition('predicted_ttft_ratio{model="m"} ')[2].partition("\n")[0])

    assert ["0.5", "NaN", "NaN", "0.5", "0.0"] == shown
