"""The difference of two pages is what an engine did between them; a restart is no negative difference, nor idleness."""

import pytest

from autoscaling.exposition import Exposition, Total, parse
from autoscaling.observation import Latency, PodReading
from controllers.podautoscaler.sources.engines import NONE, SETTLE_S, Engines, Step, latency, reading

NOW_S = 1000.0


def a_page(
    ttft: tuple[float, int], itl: tuple[float, int], started_s: float | None = None, load: str = ""
) -> Exposition:
    lines = [
        *(
            f"vllm:time_to_first_token_seconds_{part} {value}"
            for part, value in zip(("sum", "count"), ttft, strict=True)
        ),
        *(
            f"vllm:inter_token_latency_seconds_{part} {value}"
            for part, value in zip(("sum", "count"), itl, strict=True)
        ),
        *([] if started_s is None else [f"process_start_time_seconds {started_s}"]),
        load,
    ]
    return parse("\n".join(lines).encode())


def test_a_first_page_has_no_difference():
    assert Step() == Engines().step("p", a_page((9, 3), (8, 4)), NOW_S)


def test_the_difference_of_two_pages_ended_between_them():
    engines = Engines()
    engines.step("p", a_page((9, 3), (8, 4)), NOW_S)

    step = engines.step("p", a_page((10, 5), (9, 14)), NOW_S + 5)

    assert step == Step(Total(1, 2), Total(1, 10))


@pytest.mark.parametrize("started_s", [(None, None), (100.0, 990.0)])
def test_an_engine_that_began_anew_says_nothing_until_it_has_settled(started_s: tuple[float | None, float | None]):
    engines = Engines()
    before, after = started_s
    engines.step("p", a_page((9, 3), (8, 4), before), NOW_S)

    assert engines.step("p", a_page((1, 1), (1, 2), after), NOW_S + 5) is None
    assert engines.step("p", a_page((2, 2), (1, 3), after), NOW_S + 5 + SETTLE_S / 2) is None
    assert Step(Total(1, 1), Total(1, 1)) == engines.step("p", a_page((3, 3), (2, 4), after), NOW_S + 5 + SETTLE_S)


def test_a_restart_is_seen_even_where_counters_have_caught_up():
    engines = Engines()
    engines.step("p", a_page((1, 1), (1, 1), 100.0), NOW_S)

    assert engines.step("p", a_page((9, 9), (9, 9), 990.0), NOW_S + 5) is None


def test_the_same_start_told_with_fewer_digits_is_no_restart():
    engines = Engines()
    engines.step("p", a_page((1, 1), (1, 1), 1.7e9), NOW_S)

    assert engines.step("p", a_page((1, 1), (1, 1), 1.7e9 + 0.4), NOW_S + 5) == Step()


def test_pods_that_are_gone_are_forgotten():
    engines = Engines()
    engines.step("p", a_page((9, 3), (8, 4)), NOW_S)

    engines.keep({"q"})

    assert Step() == engines.step("p", a_page((10, 5), (9, 14)), NOW_S + 5)


def test_latencies_are_means_over_all_engines():
    steps = [Step(Total(1.0, 2), Total(0.3, 10)), Step(Total(5.0, 4), NONE)]

    assert Latency(1.0, 6, 0.03, 10) == latency(steps)
    assert latency([Step()]) is None
    assert latency([]) is None


def test_a_reading_has_what_the_page_tells():
    page = a_page((0, 0), (0, 0), load="sglang:num_running_reqs 3\nsglang:num_queue_reqs -1\nsglang:token_usage 0.25")

    read = reading("p", page, {"m": 1.0})

    assert ("p", 3, None, 0.25, {"m": 1.0}) == (read.name, read.running, read.waiting, read.kv_usage, read.metrics)
    assert PodReading("p", metrics={"m": 1.0}) == reading("p", None, {"m": 1.0})
